// The seven dials: a slider, a number and a button for the strip each.

const template = document.getElementById("dial");
const KEY_STEP = 0.1; // with Shift 0.01
const KEY_DIRECTIONS = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 };

/**
 * The dials as one thing. `onTurned(name, value)` is called when a person turns one, `onStrip(name)` when a strip
 * along it is asked for.
 */
export class Dials {
  constructor(parent, dials, { onTurned, onStrip }) {
    this.onTurned = onTurned;
    this.onStrip = onStrip;
    this.rows = new Map(dials.map((dial) => [dial.name, this.build(dial)]));
    parent.append(...[...this.rows.values()].map((row) => row.element));
  }

  build(dial) {
    const element = template.content.cloneNode(true).firstElementChild;
    const find = (selector) => element.querySelector(selector);
    const range = find('input[type="range"]');
    const number = find('input[type="number"]');
    find(".name").textContent = dial.title;
    find(".name").htmlFor = range.id = `range-${dial.name}`;
    find(".meaning").textContent = dial.meaning;
    find(".meaning").id = `meaning-${dial.name}`;
    range.setAttribute("aria-describedby", `meaning-${dial.name}`);
    find(".low").textContent = `← ${dial.low}`;
    find(".high").textContent = `${dial.high} →`;
    find(".zero").style.setProperty("--at", -dial.min / (dial.max - dial.min));
    for (const input of [range, number]) {
      input.min = dial.min;
      input.max = dial.max;
    }
    number.setAttribute("aria-label", `${dial.title} in standard deviations`);
    const turn = (value) => this.onTurned(dial.name, bounded(value, dial));
    range.addEventListener("input", () => turn(range.valueAsNumber));
    range.addEventListener("dblclick", () => turn(0));
    range.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      const direction = KEY_DIRECTIONS[event.key];
      if (event.key !== "0" && !direction) return;
      event.preventDefault();
      turn(direction ? range.valueAsNumber + direction * KEY_STEP / (event.shiftKey ? 10 : 1) : 0);
    });
    number.addEventListener("change", () => {
      if (Number.isFinite(number.valueAsNumber)) turn(number.valueAsNumber);
      number.value = range.valueAsNumber.toFixed(2);
    });
    find(".along").setAttribute("aria-label", `Strip along ${dial.title}`);
    find(".along").addEventListener("click", () => this.onStrip(dial.name));
    return { dial, element, range, number, mark: find(".own"), along: find(".along") };
  }

  /** Show these values. */
  show(properties) {
    for (const [name, { dial, range, number }] of this.rows) {
      const text = properties[name].toFixed(2);
      range.value = number.value = text;
      range.setAttribute("aria-valuetext", `${text}, from ${dial.low} to ${dial.high}`);
    }
  }

  /** Each value within the range of its dial, and with two digits as the dial shows it. */
  bounded(properties) {
    const values = [...this.rows].map(([name, { dial }]) => [name, bounded(properties[name], dial)]);
    return Object.fromEntries(values);
  }

  /** Mark what the person has before any dial is turned; null for nothing. */
  showOwn(own) {
    for (const [name, { dial, mark }] of this.rows) {
      mark.hidden = !own;
      if (!own) continue;
      mark.style.setProperty("--at", (bounded(own[name], dial) - dial.min) / (dial.max - dial.min));
    }
  }

  /** Show along which dial there is a strip; "" for none. */
  showStrip(name) {
    for (const [each, { along }] of this.rows) along.setAttribute("aria-pressed", each === name);
  }

  enable(isEnabled) {
    for (const { element, range, number, along } of this.rows.values()) {
      element.classList.toggle("off", !isEnabled);
      range.disabled = number.disabled = along.disabled = !isEnabled;
    }
  }
}

function bounded(value, { min, max }) {
  return Number(Math.min(Math.max(value, min), max).toFixed(2));
}
