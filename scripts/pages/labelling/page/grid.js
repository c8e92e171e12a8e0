// A page of pictures with a default answer: only the exceptions are marked.

import { onClick } from "./buttons.js";
import { picture, preload } from "./pictures.js";

const tiles = document.getElementById("tiles");
const defaultSelect = document.getElementById("default");
const exceptionsText = document.getElementById("exceptions");

/** The view of a page. `actions` has accept(items, labels, skipped) and undo(). */
export class GridView {
  constructor(actions, pageSize) {
    this.actions = actions;
    this.pageSize = pageSize;
    this.tiles = [];
    this.focused = 0;
    defaultSelect.addEventListener("change", () => {
      this.show(this.queue.map((item) => ({ ...item, was: undefined })));
    });
    onClick(document.getElementById("accept"), () => this.accept());
    onClick(document.getElementById("undo-page"), () => actions.undo());
  }

  /** Show the first page of the queue and fetch the next one. */
  show(queue) {
    this.queue = queue;
    const items = queue.slice(0, this.pageSize);
    const anyScores = queue.some((item) => item.score);
    document.getElementById("by-scores").hidden = !anyScores;
    this.tiles = items.map((item, index) => new Tile(item, this.defaultOf(item), () => this.changed(index)));
    tiles.replaceChildren(...this.tiles.map((tile) => tile.element));
    this.focus(0);
    preload(queue.slice(this.pageSize), this.pageSize);
  }

  defaultOf(item) {
    if (item.label) return item.label;
    if (defaultSelect.value !== "scores") return defaultSelect.value.split(" ").map(Number);
    return item.score ? item.score.map((probability) => (probability >= 0.5 ? 1 : 0)) : [1, 1];
  }

  /** Handle a key; returns true if it meant something here. */
  key(key) {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns(), ArrowDown: this.columns() }[key];
    const tile = this.tiles[this.focused];
    if (step !== undefined) this.focus(this.focused + step);
    else if (key === "Enter") this.accept();
    else if (key === " ") tile.set(1 - tile.gender, tile.quality);
    else if (key === "f" || key === "m") tile.set(key === "f" ? 1 : 0, tile.quality);
    else if (key === "b") tile.set(tile.gender, 1 - tile.quality);
    else if (key === "g") tile.set(tile.gender, 1);
    else if (key === "u" || key === "Backspace") this.actions.undo();
    else if (key === "s") tile.leaveOut(!tile.isLeftOut);
    else return false;
    return true;
  }

  accept() {
    const kept = this.tiles.filter((tile) => !tile.isLeftOut);
    const labels = kept.map((tile) => [tile.item.img, tile.gender, tile.quality]);
    const skipped = this.tiles.filter((tile) => tile.isLeftOut).map((tile) => tile.item.img);
    const items = this.tiles.map((tile) => ({ ...tile.item, was: tile.said() }));
    this.actions.accept(items, labels, skipped);
  }

  columns() {
    return getComputedStyle(tiles).gridTemplateColumns.split(" ").length;
  }

  focus(index) {
    if (index < 0 || index >= this.tiles.length) return;
    this.focused = index;
    this.tiles[index].face.focus();
    this.changed(index);
  }

  /** A picture was changed, or has the focus now. */
  changed(index) {
    this.focused = index;
    const count = this.tiles.filter((tile) => tile.isException()).length;
    exceptionsText.textContent = `${count} of ${this.tiles.length} marked`;
  }
}

class Tile {
  constructor(item, standard, onChange) {
    this.item = item;
    this.standard = standard;
    this.isLeftOut = item.was === null;
    this.onChange = onChange;
    this.face = button("face", () => this.set(1 - this.gender, this.quality));
    this.face.addEventListener("focus", onChange);
    this.text = span("text");
    const image = picture(item);
    image.style.width = ""; // the other view may have scaled it
    this.face.append(image);
    this.badButton = button("quality", () => {
      this.set(this.gender, 1 - this.quality);
      this.face.focus();
    });
    this.badButton.textContent = "bad";
    this.badButton.tabIndex = -1; // B does the same for the picture that has the focus
    const below = span("below");
    below.append(this.text, this.badButton);
    this.element = document.createElement("div");
    this.element.append(this.face, below);
    const doubts = doubtful(item);
    if (doubts) this.element.append(span("doubt", `networks: ${doubts}`));
    [this.gender, this.quality] = item.was ?? standard;
    this.draw();
  }

  /** Gender and quality; null if it is left out. */
  said() {
    return this.isLeftOut ? null : [this.gender, this.quality];
  }

  isException() {
    return this.isLeftOut || this.gender !== this.standard[0] || this.quality !== this.standard[1];
  }

  set(gender, quality) {
    [this.gender, this.quality, this.isLeftOut] = [gender, quality, false];
    this.draw();
    this.onChange();
  }

  leaveOut(value) {
    if (this.item.label) return; // a second look keeps or corrects a label
    this.isLeftOut = value;
    this.draw();
    this.onChange();
  }

  draw() {
    const gender = this.gender ? "woman" : "man";
    const words = this.isLeftOut ? ["left out"] : [gender, ...(this.quality ? [] : ["bad"])];
    [this.text.textContent] = words;
    this.face.setAttribute("aria-label", `candidate ${this.item.img}: ${words.join(", ")}`);
    this.badButton.setAttribute("aria-pressed", String(!this.quality && !this.isLeftOut));
    this.badButton.setAttribute("aria-label", `candidate ${this.item.img} is bad`);
    this.element.className = `tile ${gender}`;
    this.element.classList.toggle("other", this.gender !== this.standard[0] && !this.isLeftOut);
    this.element.classList.toggle("bad", !this.quality && !this.isLeftOut);
    this.element.classList.toggle("left-out", this.isLeftOut);
  }
}

/** What the networks say against a label, as text; empty if nothing. */
function doubtful({ label, score }) {
  if (!label || !score) return "";
  const names = [["man", "woman"], ["bad", "good"]];
  const said = label.map((value, i) => (Math.abs(score[i] - value) > 0.5 ? names[i][1 - value] : ""));
  return said.filter(Boolean).join(", ");
}

function span(className, text = "") {
  const element = document.createElement("span");
  element.className = className;
  element.textContent = text;
  return element;
}

function button(className, onClick) {
  const element = document.createElement("button");
  element.type = "button";
  element.className = className;
  element.addEventListener("click", onClick);
  return element;
}
