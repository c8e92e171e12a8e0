// The page as a whole: who is shown, by which generator, with which dials.

import { Dials } from "./dials.js";
import { Photographs } from "./photograph.js";
import { describe, fromHash, isSame, isSamePerson, message, Timeline, toHash } from "./setting.js";
import { showCommand, Strip } from "./strip.js";
import { GoneError, latestOnly, request, send } from "/shared/messages.js";

const LARGEST_DICE = 1e6; // seeds that are easily read and typed
const ADDRESS_SETTLED_MS = 300; // browsers limit how often a page may change its address
const MESSAGE_MS = 8000;
const KNOCK_AGAIN_MS = 1500;
const element = (id) => document.getElementById(id);
const timeline = new Timeline();

let state = null;
let dials = null;
let strip = null;
let photographs = null;
let setting = null; // what is asked for
let shown = null; // what the newest picture shows: { setting, answer }
let before = null; // what was shown ahead of the latest change
let baseSeed = null; // whose base picture is shown
let addressTimer = 0;
let sayTimer = 0;

const refresh = latestOnly("/api/picture", () => message(setting), showNow, fail);
const refreshBase = latestOnly("/api/picture", baseMessage, showBase, fail);
const isHeld = () => element("hold").checked;

function medians() {
  return Object.fromEntries(state.dials.map((dial) => [dial.name, dial.median]));
}

/** Dials by chance, distributed as in the training pictures: normally, around their mean. */
function randomProperties() {
  const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  return Object.fromEntries(state.dials.map((dial) => [dial.name, normal()]));
}

function baseMessage() {
  if (setting.photograph !== null || setting.seed === baseSeed || !state.versions.includes("base")) return null;
  return { version: "base", seed: setting.seed, properties: medians() };
}

function showPicture(id, png, alt, title, caption) {
  const figure = element(id);
  Object.assign(figure.querySelector("img"), { src: `data:image/png;base64,${png}`, alt });
  figure.querySelector("strong").textContent = title;
  figure.querySelector("figcaption span").textContent = caption;
  figure.classList.remove("empty");
}

function showNow(answer, asked, milliseconds) {
  shown = { setting: { ...setting, photograph: null, ...asked }, answer };
  const who = describe(shown.setting);
  showPicture("now", answer.png, `${who} with the dials as they are`, "Now", who);
  element("time").textContent = `${Math.round(milliseconds)} ms`;
  showCommand(element("command"), answer.command);
  dials.showOwn(answer.own);
  element("own").hidden = element("own-key").hidden = !answer.own;
  element("save").disabled = element("copy").disabled = false;
  strip.settingChanged(shown.setting);
  clearTimeout(addressTimer);
  addressTimer = setTimeout(() => history.replaceState(null, "", toHash(setting)), ADDRESS_SETTLED_MS);
}

function showBase(answer, { seed }) {
  if (setting.photograph !== null) return; // meanwhile a photograph took its place
  baseSeed = seed;
  showPicture("base", answer.png, `base generator, seed ${seed}`, "Base", `no dials, seed ${seed}`);
}

function showGiven({ png, framing }) {
  baseSeed = null;
  showPicture("base", png, "the face of the photograph", "Photograph", framing);
}

/** The person of a photograph has been found better. Dials that nobody turned go along. */
function showBetter({ photograph, own }, ownBefore) {
  if (setting.photograph !== photograph) return;
  const stood = dials.bounded(ownBefore);
  const isUntouched = (name) => setting.properties[name] === stood[name];
  const properties = Object.fromEntries(
    Object.entries(setting.properties).map(([name, value]) => [name, isUntouched(name) ? own[name] : value]),
  );
  setting = { ...setting, properties: dials.bounded(properties) };
  dials.show(setting.properties);
  refresh();
  if (strip.dial) strip.refresh();
}

function keepBefore() {
  if (!shown) return;
  before = shown;
  const who = describe(before.setting);
  showPicture("previous", before.answer.png, `before: ${who}`, "Before", who);
  element("previous").querySelector("button").disabled = false;
}

/** Replace a part of the setting. Turns of one dial that follow each other closely share a gesture's name. */
function change(part, gesture = "") {
  const next = { ...setting, ...part };
  next.properties = dials.bounded(next.properties);
  if (isSame(next, setting)) return;
  if (isHeld() && !isSamePerson(next, setting)) {
    say("That is another person, and this one is held.");
    return;
  }
  if (timeline.leave(setting, gesture)) keepBefore();
  take(next);
}

function travel(direction) {
  const next = timeline.ahead(direction);
  if (!next) return;
  if (isHeld() && !isSamePerson(next, setting)) {
    say("That was another person, and this one is held.");
    return;
  }
  keepBefore();
  take(timeline.travel(direction, setting));
}

/** Make a setting the present one: controls first, pictures as they come. */
function take(next) {
  setting = next;
  element("versions").querySelector(`[value="${next.version}"]`).checked = true;
  element("seed").value = next.seed;
  dials.show(next.properties);
  dials.enable(next.version !== "base");
  if (next.version === "base") strip.hide();
  const given = photographs.found.get(next.photograph);
  if (given) showGiven(given);
  else refreshBase();
  showWhatIsHeld();
  refresh();
}

function showWhatIsHeld() {
  const { seed, photograph, version } = setting;
  const held = isHeld();
  const hasDials = version !== "base";
  element("seed").disabled = element("upload").disabled = element("seeds-again").disabled = held;
  element("seeds-again").hidden = photograph === null;
  element("dice-text").textContent = held ? "Other dials" : "Another person";
  element("dice").title = held ? "dials by chance; the person stays" : "a seed by chance; the dials stay";
  element("dice").disabled = held && !hasDials;
  element("undo").disabled = !timeline.ahead(-1);
  element("redo").disabled = !timeline.ahead(1);
  element("reset").disabled = element("own").disabled = !hasDials;
  const who = photograph === null ? `The person of seed ${seed}` : "The photographed person";
  element("held").textContent = held
    ? `${who} is held: generator and dials change, the dice throws other dials.`
    : "The dials are kept: the dice throws another person, who gets the same dials.";
  element("note").hidden = hasDials;
}

/** Show a message for a while; one that ends with … stays until the next. */
function say(text) {
  element("status").textContent = text;
  clearTimeout(sayTimer);
  if (!text.endsWith("…")) sayTimer = setTimeout(() => { element("status").textContent = ""; }, MESSAGE_MS);
}

function fail(error) {
  element("error-text").textContent = error.message;
  element("error").hidden = false;
  const isGone = error instanceof GoneError;
  element("dismiss").hidden = isGone;
  document.querySelector("main").inert = document.querySelector("header").inert = isGone;
  if (!isGone) return;
  element("error-text").textContent +=
    ` This page goes on by itself, with this picture, when it is started again:\n${state?.command ?? ""}`;
  history.replaceState(null, "", setting ? toHash(setting) : location.hash);
  reloadWhenItAnswers();
}

async function reloadWhenItAnswers() {
  try {
    await request("/api/state");
    location.reload();
  } catch {
    setTimeout(reloadWhenItAnswers, KNOCK_AGAIN_MS);
  }
}

async function chooseVersion(version) {
  const command = state.missing[version];
  if (command) {
    element("versions").querySelector(`[value="${setting.version}"]`).checked = true;
    fail(new Error(`This workspace has no ${version}. Make it:\n${command}`));
  } else if (setting.photograph !== null && version !== state.photographVersion) {
    element("versions").querySelector(`[value="${setting.version}"]`).checked = true;
    const only = `Only ${state.photographVersion}, in which this person was found, can show the photograph.`;
    fail(new Error(`${only} Go back to seeds to choose another generator.`));
  } else {
    change({ version });
  }
}

async function takeAddress() {
  const said = fromHash(location.hash, state, setting);
  try {
    if (said.photograph !== null && !photographs.found.has(said.photograph)) {
      await photographs.restore(said.photograph);
    }
  } catch (error) {
    said.photograph = null;
    say("");
    fail(error);
  }
  return said;
}

function save() {
  const bytes = Uint8Array.from(atob(shown.answer.png), (character) => character.charCodeAt(0));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
  link.download = shown.answer.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  say(`Saved as ${shown.answer.name}; the settings and the command are inside it.`);
}

async function copy(command) {
  try {
    await navigator.clipboard.writeText(command.textContent);
    say("Copied. It makes the same pixels on this machine.");
  } catch {
    command.closest("details")?.setAttribute("open", "");
    getSelection().selectAllChildren(command);
    say("The browser does not let this page copy; the command is selected, so Ctrl-C copies it.");
  }
}

function setSeed() {
  const given = element("seed").valueAsNumber;
  const seed = Number.isNaN(given) ? setting.seed : Math.min(Math.max(Math.trunc(given), 0), state.largestSeed);
  element("seed").value = seed;
  change({ seed, photograph: null });
}

/** While it is pressed, the picture of now shows the one before in its place. */
function compareWhilePressed(frame) {
  const swap = (isPressed) => {
    if (!before || !shown) return;
    const { answer } = isPressed ? before : shown;
    frame.querySelector("img").src = `data:image/png;base64,${answer.png}`;
    frame.classList.toggle("swapped", isPressed);
  };
  frame.addEventListener("pointerdown", (event) => {
    frame.setPointerCapture(event.pointerId);
    swap(true);
  });
  for (const end of ["pointerup", "pointercancel", "blur"]) frame.addEventListener(end, () => swap(false));
  frame.addEventListener("contextmenu", (event) => event.preventDefault()); // a long press on a phone
  const isKey = (event) => event.key === " " || event.key === "Enter";
  frame.addEventListener("keydown", (event) => { if (isKey(event) && !event.repeat) swap(true); });
  frame.addEventListener("keyup", (event) => { if (isKey(event)) swap(false); });
}

function buildVersions() {
  for (const name of [...state.versions, ...Object.keys(state.missing)].sort()) {
    const label = document.createElement("label");
    const input = document.createElement("input");
    Object.assign(input, { type: "radio", name: "version", value: name });
    label.classList.toggle("missing", name in state.missing);
    label.append(input, name);
    input.addEventListener("change", () => chooseVersion(name));
    element("versions").append(label);
  }
}

function connect() {
  const clicks = {
    "dice": () => change(isHeld()
      ? { properties: randomProperties() }
      : { seed: Math.floor(Math.random() * LARGEST_DICE), photograph: null }),
    "undo": () => travel(-1),
    "redo": () => travel(1),
    "reset": () => change({ properties: medians() }),
    "own": () => change({ properties: shown.answer.own }),
    "copy": () => copy(element("command")),
    "strip-copy": () => copy(element("strip-panel").querySelector("pre")),
    "save": save,
    "strip-close": () => strip.hide(),
    "upload": () => (photographs.missing ? fail(photographs.missing) : element("file").click()),
    "seeds-again": () => change({ photograph: null }),
    "reload": () => location.reload(),
    "dismiss": () => { element("error").hidden = true; },
    "close": () => send("/api/close").then(() => {
      document.querySelector("main").inert = document.querySelector("header").inert = true;
      say("Closed. This tab can be closed, too.");
    }, fail),
  };
  for (const [id, action] of Object.entries(clicks)) element(id).addEventListener("click", action);
  element("previous").querySelector("button").addEventListener("click", () => change(before.setting));
  compareWhilePressed(element("now").querySelector("button"));
  element("hold").addEventListener("change", showWhatIsHeld);
  element("seed").addEventListener("change", setSeed);
  element("file").addEventListener("change", () => {
    const [file] = element("file").files;
    if (file) photographs.upload(file);
    element("file").value = "";
  });
  addEventListener("hashchange", async () => change(await takeAddress()));
  addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || event.target.type === "number") return;
    const key = event.key.toLowerCase();
    if (key !== "z" && key !== "y") return;
    event.preventDefault();
    travel(key === "y" || event.shiftKey ? 1 : -1);
  });
}

async function start() {
  try {
    state = await request("/api/state");
  } catch (error) {
    fail(error);
    return;
  }
  document.title = `Explorer: ${state.workspace}`;
  element("seed").max = state.largestSeed;
  buildVersions();
  dials = new Dials(element("dials"), state.dials, {
    onTurned: (name, value) => change({ properties: { ...setting.properties, [name]: value } }, name),
    onStrip: (name) => strip.toggle(name),
  });
  strip = new Strip(element("strip-panel"), {
    current: () => setting,
    onChoose: (name, value) => change({ properties: { ...setting.properties, [name]: value } }),
    onDial: (name) => dials.showStrip(name),
    onError: fail,
  });
  photographs = new Photographs(state, element("search"), {
    onFound: ({ photograph, own }) => change({ version: state.photographVersion, photograph, properties: own }),
    onBetter: showBetter,
    say,
    fail,
  });
  photographs.takeDrops();
  connect();
  setting = { version: state.versions.at(-1), seed: 0, photograph: null, properties: medians() };
  const said = await takeAddress();
  take({ ...said, properties: dials.bounded(said.properties) });
}

start();
