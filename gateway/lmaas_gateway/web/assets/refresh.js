// Brings a page up to date now and then, without loading it anew: focus and scrolling stay.

import { morph } from "./morph.js";

const EVERY_MS = 30_000;

setInterval(bringUpToDate, EVERY_MS);

async function bringUpToDate() {
  if (document.hidden) return;
  const response = await fetch(location.href).catch(() => null);
  // Elsewhere is where one signs in.
  if (!response?.ok || response.redirected) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  morph(document.querySelector("main"), page.querySelector("main").innerHTML);
}
