// What is being looked at. It stands in the fragment of the address, so that a link, and the buttons for
// back and forward, bring back the same view.

const TABS = ["neighbors", "tree", "matrix", "models", "about"];
const LAYOUTS = ["circular", "rectangular"];
const ORDERS = ["leaf", "class"];
const FURTHEST = 1e6; // from the origin that a range can end: beyond every matrix and tree
const NARROWEST = 1e-4; // that a range can be, as it is rounded in the fragment

const START = Object.freeze({
  tab: "neighbors",
  focus: classes.keys().next().value,
  shown: Object.freeze(models.slice(0, 3).map((model) => model.name)),
  model: models[0].name,
  k: manifest.k,
  layout: "circular",
  clusters: 24,
  toggled: Object.freeze([]), // clades that are not as they are at first: open, or closed
  order: "leaf",
  measure: Object.keys(manifest.measures)[0] ?? "",
  pair: Object.freeze([]),
  treeRange: null,
  matrixRange: null,
});

let state = START;
const watchers = [];

function watch(watcher) {
  watchers.push(watcher);
}

// Change some of the state. `quiet` changes replace the entry of the history, others add one.
function update(changes, { quiet = false, centre = false } = {}) {
  const before = state;
  state = Object.freeze({ ...state, ...changes });
  const fragment = `#${fragmentOf(state)}`;
  if (fragment !== window.location.hash) {
    if (quiet) scheduleReplacement();
    else window.history.pushState(null, "", fragment);
  }
  for (const watcher of watchers) watcher(state, before, { centre });
}

// Browsers allow only so many changes of the history a second, and a zoom makes more.
let replacement = null;
function scheduleReplacement() {
  clearTimeout(replacement);
  replacement = setTimeout(() => {
    window.history.replaceState(null, "", `#${fragmentOf(state)}`);
  }, 200);
}

function fragmentOf(from) {
  const parts = new URLSearchParams();
  const differs = (name) => String(from[name]) !== String(START[name]);
  parts.set("view", from.tab);
  if (from.focus !== undefined) parts.set("class", from.focus);
  if (differs("shown")) from.shown.forEach((name) => parts.append("show", name));
  if (differs("model")) parts.set("model", from.model);
  for (const name of ["k", "layout", "clusters", "order", "measure"]) {
    if (differs(name)) parts.set(name, from[name]);
  }
  if (from.toggled.length) parts.set("clades", from.toggled.join("."));
  from.pair.forEach((name) => parts.append("pair", name));
  if (from.treeRange) parts.set("tree", from.treeRange.map(rounded).join("_"));
  if (from.matrixRange) parts.set("cells", from.matrixRange.map(rounded).join("_"));
  return parts.toString();
}

function rounded(value) {
  return String(Number(value.toFixed(4)));
}

// The state that a fragment means; what it does not say, or says wrongly, is as at the start.
function stateOf(fragment) {
  const parts = new URLSearchParams(fragment.replace(/^#/, ""));
  const one = (name, accepted, otherwise) =>
    accepted(parts.get(name)) ? parts.get(name) : otherwise;
  const whole = (name, low, high, otherwise) => {
    const value = Number(parts.get(name) ?? NaN);
    return Number.isInteger(value) && value >= low && value <= high ? value : otherwise;
  };
  const numbers = (name, sign) => (parts.get(name) ?? "").split(sign).filter(Boolean).map(Number);
  const range = (name) => {
    const values = numbers(name, "_");
    const sound = values.length === 4 && values.every((value) => Math.abs(value) <= FURTHEST);
    return sound && isWide(values[0], values[1]) && isWide(values[2], values[3]) ? values : null;
  };
  const isWide = (low, high) => high - low >= NARROWEST;
  const known = (name) => parts.getAll(name).filter((each) => modelNamed.has(each));
  const model = one("model", (name) => modelNamed.has(name), START.model);
  const last = 2 * modelNamed.get(model).size - 1;
  return Object.freeze({
    tab: one("view", (name) => TABS.includes(name), START.tab),
    focus: one("class", (key) => classes.has(key), START.focus),
    shown: known("show").length ? [...new Set(known("show"))] : START.shown,
    model,
    k: whole("k", 1, 100, START.k),
    layout: one("layout", (name) => LAYOUTS.includes(name), START.layout),
    clusters: whole("clusters", 1, 200, START.clusters),
    toggled: numbers("clades", ".").filter((node) => Number.isInteger(node) && node < last),
    order: one("order", (name) => ORDERS.includes(name), START.order),
    measure: one("measure", (name) => Object.hasOwn(manifest.measures, name), START.measure),
    pair: known("pair").length === 2 ? known("pair") : [],
    treeRange: range("tree"),
    matrixRange: range("cells"),
  });
}

function restore() {
  const before = state;
  state = stateOf(window.location.hash);
  for (const watcher of watchers) watcher(state, before, { restored: true });
}

window.addEventListener("popstate", restore);

// Look at one class, in the view that is open or in another.
function focusOn(key, { tab = state.tab, centre = false, ...changes } = {}) {
  update({ focus: key, tab, ...changes }, { centre });
  announce(`${labelOf(key)} is in focus`);
}
