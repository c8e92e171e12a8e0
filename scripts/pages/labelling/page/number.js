// One picture, large, and a number from 0 to 1: a digit answers at once, or the slider and Enter.

import { SingleView } from "./single.js";

const slider = document.getElementById("value");
const caption = document.getElementById("caption");

/** The view of one picture whose condition is asked for; `about` has its name and what 0 and 1 mean. */
export class NumberView extends SingleView {
  constructor(actions, about) {
    super(actions);
    document.title = document.getElementById("title").textContent = `Label ${about.name}`;
    document.getElementById("low").textContent = about.ends[0];
    document.getElementById("high").textContent = about.ends[1];
  }

  prepare(item) {
    slider.value = item.was?.[0] ?? 0.5;
    caption.textContent = item.name + (item.was ? ` · taken back: ${item.was[0]}` : "");
  }

  key(key) {
    const answer = (value) => this.actions.answer(this.item, value);
    if (/^[0-9]$/.test(key)) answer(Number(key) / 10);
    else if (key === "+" || key === "=") answer(1);
    else if (key === "Enter") answer(Number(slider.value));
    else if (key === "s") this.actions.skip(this.item);
    else if (key === "u" || key === "Backspace") this.actions.undo();
    else if (key === "p") this.toggleSmooth();
    else return false;
    return true;
  }
}
