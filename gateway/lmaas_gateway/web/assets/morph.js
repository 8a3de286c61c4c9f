// Puts new HTML in the place of old, and touches only what differs: focus, selection and scrolling stay.

export function morph(place, html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  bring(place, template.content);
}

function bring(old, wanted) {
  const before = [...old.childNodes];
  const after = [...wanted.childNodes];
  after.forEach((node, at) => {
    if (at >= before.length) old.append(node);
    else if (!isAlike(before[at], node)) before[at].replaceWith(node);
    else update(before[at], node);
  });
  before.slice(after.length).forEach((node) => node.remove());
}

function isAlike(one, other) {
  return one.nodeType === other.nodeType && one.nodeName === other.nodeName;
}

function update(old, wanted) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== wanted.data) old.data = wanted.data;
    return;
  }
  for (const { name } of [...old.attributes]) if (!wanted.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of wanted.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  bring(old, wanted);
}
