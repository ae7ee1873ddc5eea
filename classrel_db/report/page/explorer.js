// Start: the views, the tabs, and what follows a change of the state.

const main = document.getElementById("view");
const views = {
  neighbors: NeighborsView,
  tree: TreeView,
  matrix: MatrixView,
  models: ModelsView,
  about: AboutView,
};
let view = null;

function showTabs() {
  for (const name of TABS) {
    const tab = document.getElementById(`tab-${name}`);
    const chosen = name === state.tab;
    tab.setAttribute("aria-selected", String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
  }
  main.setAttribute("aria-labelledby", `tab-${state.tab}`);
  main.dataset.view = state.tab;
}

function showView() {
  hideTip();
  showTabs();
  view = new views[state.tab](main);
  view.show();
}

watch((now, before, options) => {
  if (now.tab !== before.tab) {
    showView();
    if (options.centre) view.centre?.();
    return;
  }
  const differs = (...names) => names.some((name) => String(now[name]) !== String(before[name]));
  if (now.tab === "neighbors") {
    if (!differs("focus", "shown", "k")) return;
    const inside = main.contains(document.activeElement) && document.activeElement.matches("button.class");
    view.show();
    if (inside) main.querySelector("button.class")?.focus({ preventScroll: true });
    if (differs("focus")) window.scrollTo(0, 0);
  } else {
    view.changed(before, options);
  }
});

for (const name of TABS) {
  const tab = document.getElementById(`tab-${name}`);
  tab.addEventListener("click", () => state.tab !== name && update({ tab: name }));
  tab.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowLeft: -1 };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const next = TABS[(TABS.indexOf(state.tab) + steps[event.key] + TABS.length) % TABS.length];
    update({ tab: next });
    document.getElementById(`tab-${next}`).focus();
  });
}

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the fragment is the state's
  main.focus();
});

// "/" goes to the search, as on many pages
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target.matches("input, select")) return;
  event.preventDefault();
  document.getElementById("finder").focus();
});

document.getElementById("theme").addEventListener("click", () => {
  chosenTheme = themeName() === "dark" ? "light" : "dark";
  remembered.set(chosenTheme);
  applyTheme();
  showView();
});
system.addEventListener("change", () => {
  applyTheme();
  showView();
});

Bokeh.logger.set_level("error");
applyTheme();
state = stateOf(window.location.hash);
makeFinder((key) => focusOn(key, { centre: true }));
showView();
