// One picture, large: a key answers and shows the next.

import { onClick } from "./buttons.js";
import { picture, preload } from "./pictures.js";

const LARGEST_PIXELATED_PX = 200;
const frame = document.getElementById("frame");
const caption = document.getElementById("caption");
const badButton = document.getElementById("bad");
const keepButton = document.getElementById("keep");
const skipButton = document.getElementById("skip");
const COMBINATIONS = { 1: [1, 1], 2: [0, 1], 3: [1, 0], 4: [0, 0] };

/** The view of one picture. `actions` has answer(item, gender, quality), skip(item) and undo(). */
export class SingleView {
  constructor(actions) {
    this.actions = actions;
    this.item = null;
    this.quality = 1;
    this.smooth = false;
    for (const button of document.querySelectorAll("#single [data-key]")) {
      onClick(button, () => this.key(button.dataset.key, false));
    }
    addEventListener("resize", () => this.fit());
  }

  /** Show the first picture of the queue and fetch the next ones. */
  show(queue) {
    [this.item] = queue;
    this.prepare(this.item);
    const image = picture(this.item);
    image.onload = () => this.fit();
    image.onerror = () => frame.replaceChildren(missing());
    const broken = image.complete && image.naturalWidth === 0;
    frame.replaceChildren(broken ? missing() : image);
    this.fit();
    preload(queue);
  }

  /** What is known of the picture. */
  prepare(item) {
    this.setQuality((item.was ?? item.label ?? [1, 1])[1]);
    keepButton.hidden = !item.label;
    skipButton.hidden = Boolean(item.label); // a second look keeps or corrects a label
    caption.replaceChildren(...describe(item));
  }

  /** Handle a key; returns true if it meant something here. */
  key(key, shift) {
    const item = this.item;
    const answer = (gender, quality) => this.actions.answer(item, gender, quality);
    if (key in COMBINATIONS) answer(...COMBINATIONS[key]);
    else if (key === "f" || key === "m") answer(key === "f" ? 1 : 0, shift ? 0 : this.quality);
    else if (key === "b") this.setQuality(shift ? 0 : 1 - this.quality);
    else if (key === "g") this.setQuality(1);
    else if ((key === "Enter" || key === " ") && item.label) answer(item.label[0], this.quality);
    else if (key === "s" && !item.label) this.actions.skip(item);
    else if (key === "u" || key === "Backspace") this.actions.undo();
    else if (key === "p") this.toggleSmooth();
    else return false;
    return true;
  }

  setQuality(quality) {
    this.quality = quality;
    frame.classList.toggle("bad", quality === 0);
    badButton.setAttribute("aria-pressed", String(quality === 0));
  }

  toggleSmooth() {
    this.smooth = !this.smooth;
    this.fit();
  }

  /** Scale small pictures by a whole number of screen pixels, so that every pixel gets the same size. */
  fit() {
    const image = frame.querySelector("img");
    if (!image || !image.naturalWidth) return;
    const room = Math.min(frame.clientWidth, frame.clientHeight) * devicePixelRatio;
    const side = Math.max(image.naturalWidth, image.naturalHeight);
    const scale = room >= side ? Math.floor(room / side) : room / side;
    image.style.width = `${(image.naturalWidth * scale) / devicePixelRatio}px`;
    image.classList.toggle("pixels", !this.smooth && side <= LARGEST_PIXELATED_PX);
  }
}

function missing() {
  const text = document.createElement("p");
  text.className = "missing";
  text.textContent = "This picture cannot be read. Skip it (S), or generate the candidates again.";
  return text;
}

/** Number of the picture; its label and what the networks say, where they contradict each other marked. */
function describe({ img, label, score, was }) {
  const parts = [`candidate ${img}`];
  const known = was ?? label;
  if (!known) return parts;
  const words = [strong(known[0] ? "woman" : "man"), ", ", strong(known[1] ? "good" : "bad")];
  parts.push(was ? " · taken back: " : " · labelled ", ...words);
  if (!label) return parts;
  if (!score) return parts;
  const names = ["woman", "good"];
  const said = score.map((probability, i) => {
    const span = document.createElement("span");
    span.textContent = `${names[i]} ${Math.round(100 * probability)} %`;
    if (Math.abs(probability - label[i]) > 0.5) span.className = "doubt";
    return span;
  });
  return [...parts, " · the networks say ", said[0], ", ", said[1]];
}

function strong(text) {
  const element = document.createElement("strong");
  element.textContent = text;
  return element;
}
