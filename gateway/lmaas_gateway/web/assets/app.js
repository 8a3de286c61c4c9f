// Small comforts of all pages; each page works without them.

for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.querySelector(button.dataset.copy).textContent.trim());
    button.textContent = button.dataset.copied;
  });
}

// What a choice makes needless is not asked for.
for (const select of document.querySelectorAll("select[data-hides]")) {
  const follow = () => {
    for (const option of select.options) {
      const part = option.dataset.shows && document.getElementById(option.dataset.shows);
      if (part) part.hidden = !select.selectedOptions[0].dataset.shows;
    }
  };
  select.addEventListener("change", follow);
  follow();
}

for (const select of document.querySelectorAll("select[data-submits]")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}

// On a phone the navigation is wider than the window.
document.querySelector(".side nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
