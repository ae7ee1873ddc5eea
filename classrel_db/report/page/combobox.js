// Find a class as one types, by what any model calls it: matches at the beginning first, then at the
// beginning of a word, then anywhere.

const MOST_FOUND = 50;

const finding = lazilyFound();

function lazilyFound() {
  let listed = null;
  return () => {
    const folded = (named) => ({
      ...named,
      folded: named.label.toLowerCase(),
      foldedId: named.id.toLowerCase(),
    });
    listed ??= [...classes.values()].map((each) => ({
      ...folded(each),
      others: each.others.map(folded),
    }));
    return listed;
  };
}

// How well a name of a class fits the words typed, the lower the better; Infinity where it does not.
function fitOf(each, typed) {
  const at = each.folded.indexOf(typed);
  if (at === 0) return each.folded.length === typed.length ? 0 : 1;
  if (each.foldedId.startsWith(typed)) return 2;
  if (at < 0) return Infinity;
  for (let from = at; from >= 0; from = each.folded.indexOf(typed, from + 1)) {
    if (!/[\p{L}\p{N}]/u.test(each.folded[from - 1])) return 3;
  }
  return 4;
}

function found(typed) {
  const words = typed.trim().toLowerCase();
  const tiers = [[], [], [], [], []];
  for (const each of finding()) {
    let fit = words ? fitOf(each, words) : 1;
    let also = null; // what another model calls it, where that fits better
    for (const other of words ? each.others : []) {
      const otherFit = fitOf(other, words);
      if (otherFit < fit) [fit, also] = [otherFit, other];
    }
    if (fit < tiers.length) tiers[fit].push({ ...each, also });
  }
  return tiers.flat();
}

// What stands behind the label of a class that is found: its id, and the other name that was typed.
function behind({ label, id, also }) {
  if (!also) return shortened(id, 40);
  const other = [also.label === label ? "" : also.label, also.id].filter(Boolean).join(", ");
  return [shortened(id, 40), `also ${shortened(other || also.label, 80)}`].filter(Boolean).join("; ");
}

function makeFinder(chosen) {
  const input = document.getElementById("finder");
  const list = document.getElementById("found");
  let shown = [];
  let active = -1;

  const close = () => {
    list.hidden = true;
    active = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const choose = (each) => {
    input.value = each.label;
    close();
    // to what was found: the next "/" begins a search of its own
    input.blur();
    document.getElementById("view").focus({ preventScroll: true });
    chosen(each.key);
  };
  const activate = (at) => {
    list.children[active]?.setAttribute("aria-selected", "false");
    active = at;
    const option = list.children[active];
    option.setAttribute("aria-selected", "true");
    option.scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", option.id);
  };
  const open = () => {
    const every = found(input.value);
    shown = every.slice(0, MOST_FOUND);
    const options = shown.map((each, at) => {
      const more = behind(each);
      return element(
        "li",
        { role: "option", id: `found-${at}`, "aria-selected": "false", dir: "auto" },
        element("span", {}, shortened(each.label, 120)),
        more ? element("small", {}, more) : null,
      );
    });
    const rest = every.length - shown.length;
    if (!every.length) options.push(element("li", { class: "none" }, "no class of that name"));
    if (rest) options.push(element("li", { class: "none" }, `and ${counted(rest)} more`));
    list.replaceChildren(...options);
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    active = -1;
    input.removeAttribute("aria-activedescendant");
    if (shown.length && input.value.trim()) activate(0);
  };

  input.addEventListener("input", open);
  input.addEventListener("focus", () => input.select());
  input.addEventListener("click", () => list.hidden && open());
  input.addEventListener("blur", () => {
    close();
    input.value = labelOf(state.focus);
  });
  input.addEventListener("keydown", (event) => {
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 };
    if (event.key in moves) {
      event.preventDefault();
      if (list.hidden) open();
      else if (shown.length) activate(clamp(active + moves[event.key], 0, shown.length - 1));
    } else if (event.key === "Enter" && !list.hidden && active >= 0) {
      event.preventDefault();
      choose(shown[active]);
    } else if (event.key === "Escape") {
      close();
      input.value = labelOf(state.focus);
      input.select();
    }
  });
  // before the input loses the focus
  list.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    const option = event.target.closest("[role=option]");
    if (option) choose(shown[[...list.children].indexOf(option)]);
  });
  const follow = () => {
    if (document.activeElement !== input || list.hidden) input.value = labelOf(state.focus);
  };
  watch(follow);
  follow();
}
