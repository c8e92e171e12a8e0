// Pictures are fetched and decoded before they are shown, and kept for an undo.

const AHEAD = 8;
const KEPT = 160;
const elements = new Map();

/** The <img> of a picture; always the same element, so that nothing is decoded twice. */
export function picture(item) {
  let element = elements.get(item.img);
  if (!element) {
    element = new Image();
    element.alt = `candidate ${item.img}`;
    element.draggable = false;
    element.decoding = "sync";
    element.src = `/images/${item.img}`;
    elements.set(item.img, element);
    if (elements.size > KEPT) elements.delete(elements.keys().next().value);
  }
  return element;
}

/** Fetch what comes next; a picture that cannot be read says so when it is shown. */
export function preload(items, count = AHEAD) {
  for (const item of items.slice(0, count)) picture(item).decode().catch(() => {});
}
