// A setting is all that a picture depends on: { version, seed, photograph, properties }. `photograph` is the name
// of a kept photograph, or null for the person of the seed. Settings are never changed, only replaced.

const ONE_GESTURE_MS = 1200; // turns of one dial that follow each other this closely are one change
const LONGEST_PAST = 200;

export function isSamePerson(one, other) {
  return one.photograph === other.photograph && (one.photograph !== null || one.seed === other.seed);
}

export function isSame(one, other) {
  return JSON.stringify(message(one)) === JSON.stringify(message(other));
}

/** The setting as explore is asked for it. */
export function message({ version, seed, photograph, properties }) {
  return { version, ...(photograph === null ? { seed } : { photograph }), properties };
}

export function describe(setting) {
  return `${setting.version}, ${setting.photograph === null ? `seed ${setting.seed}` : "photograph"}`;
}

/** The part of the address after #, from which `fromHash` makes the same setting. */
export function toHash(setting) {
  const { properties, ...others } = message(setting);
  return `#${new URLSearchParams({ ...others, ...properties })}`;
}

/** The setting of an address; what it does not say, or says wrongly, is as in `fallback`. */
export function fromHash(hash, state, fallback) {
  const said = new URLSearchParams(hash.slice(1));
  const version = state.versions.includes(said.get("version")) ? said.get("version") : fallback.version;
  const seed = /^\d{1,10}$/.test(said.get("seed")) ? Math.min(said.get("seed"), state.largestSeed) : fallback.seed;
  const properties = { ...fallback.properties };
  for (const name of Object.keys(properties)) {
    const value = Number.parseFloat(said.get(name));
    if (Number.isFinite(value)) properties[name] = value;
  }
  const photograph = version === state.photographVersion ? said.get("photograph") : null;
  return { version, seed, photograph, properties };
}

/** The settings before and after the present one. */
export class Timeline {
  past = [];
  future = [];
  gesture = { name: "", at: 0 };

  /** Note a setting that is being left; false if the change goes on with the gesture before it. */
  leave(setting, gesture = "") {
    const at = performance.now();
    const goesOn = gesture && gesture === this.gesture.name && at - this.gesture.at < ONE_GESTURE_MS;
    this.gesture = { name: gesture, at };
    this.future = [];
    if (goesOn) return false;
    this.past = [...this.past, setting].slice(-LONGEST_PAST);
    return true;
  }

  /** What undo (-1) or redo (1) would lead to. */
  ahead(direction) {
    return (direction < 0 ? this.past : this.future).at(-1) ?? null;
  }

  /** Undo (-1) or redo (1): the present setting becomes the other side's. */
  travel(direction, setting) {
    this.gesture = { name: "", at: 0 };
    const [from, to] = direction < 0 ? [this.past, this.future] : [this.future, this.past];
    to.push(setting);
    return from.pop();
  }
}
