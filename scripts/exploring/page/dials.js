// The seven dials: a slider, a number and a button for the strip each.

const template = document.getElementById("dial");

function clamp(value, dial) {
  return Math.min(Math.max(value, dial.min), dial.max);
}

/**
 * The dials as one thing: `values` are what they say. When a person turns one, `onBegin(name)` is called ahead
 * of the change and `onTurned()` after it; `onStrip(name)` when a strip along it is asked for.
 */
export class Dials {
  constructor(parent, dials, { onBegin, onTurned, onStrip }) {
    this.dials = dials;
    this.onBegin = onBegin;
    this.onTurned = onTurned;
    this.rows = new Map(dials.map((dial) => [dial.name, this.build(dial, onStrip)]));
    this.values = Object.fromEntries(dials.map((dial) => [dial.name, dial.median]));
    parent.append(...[...this.rows.values()].map((row) => row.element));
    this.set(this.values);
  }

  build(dial, onStrip) {
    const element = template.content.cloneNode(true).firstElementChild;
    const find = (selector) => element.querySelector(selector);
    const range = find('input[type="range"]');
    const number = find('input[type="number"]');
    find(".name").textContent = dial.title;
    find(".name").htmlFor = range.id = `range-${dial.name}`;
    find(".meaning").textContent = dial.meaning;
    find(".low").textContent = `← ${dial.low}`;
    find(".high").textContent = `${dial.high} →`;
    for (const input of [range, number]) {
      input.min = dial.min;
      input.max = dial.max;
    }
    number.setAttribute("aria-label", `${dial.title} as a number`);
    range.addEventListener("input", () => this.turn(dial, range.valueAsNumber));
    range.addEventListener("dblclick", () => this.turn(dial, 0));
    range.addEventListener("keydown", (event) => {
      if (event.key === "0" && !event.ctrlKey && !event.altKey && !event.metaKey) this.turn(dial, 0);
    });
    number.addEventListener("change", () => {
      const value = number.valueAsNumber;
      this.turn(dial, Number.isNaN(value) ? this.values[dial.name] : value);
    });
    find(".along").setAttribute("aria-label", `Strip along ${dial.title}`);
    find(".along").addEventListener("click", () => onStrip(dial.name));
    return { dial, element, range, number, mark: find(".mark"), along: find(".along") };
  }

  turn(dial, value) {
    this.onBegin(dial.name);
    this.set({ [dial.name]: value });
    this.onTurned();
  }

  /** Move dials without a person's hand. */
  set(values) {
    this.values = { ...this.values };
    for (const [name, value] of Object.entries(values)) {
      const { dial, range, number } = this.rows.get(name);
      const text = clamp(value, dial).toFixed(2);
      this.values[name] = Number(text);
      range.value = number.value = text;
      range.setAttribute("aria-valuetext", `${text}, from ${dial.low} to ${dial.high}`);
    }
  }

  medians() {
    return Object.fromEntries(this.dials.map((dial) => [dial.name, dial.median]));
  }

  /** Mark what the person has before any dial is turned; null for nothing. */
  showOwn(own) {
    for (const [name, { dial, mark }] of this.rows) {
      mark.hidden = !own;
      if (own) mark.style.setProperty("--at", (clamp(own[name], dial) - dial.min) / (dial.max - dial.min));
    }
  }

  enable(isEnabled) {
    for (const { range, number, along } of this.rows.values()) {
      range.disabled = number.disabled = along.disabled = !isEnabled;
    }
  }
}
