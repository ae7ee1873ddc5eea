// Light and dark: the system's choice until the switch is used. Colours that stand for something are told
// apart by who sees no red or no green: those of clusters are Okabe and Ito's (2008).

const CLUSTER_COLOURS = {
  light: ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"],
  dark: ["#5aa9e6", "#f0b030", "#2cc295", "#e29ac4", "#9ad8ff", "#ff8a3d"],
};
const SUPPORT_COLOURS = {
  light: { high: "#0b5c8f", middle: "#5fa3cf", low: "#bcd7ea", unknown: "#a3a8ad" },
  dark: { high: "#7cc0f4", middle: "#3f83b5", low: "#28506d", unknown: "#7b8086" },
};
// below zero, zero, above zero: the ends are as light or dark as each other
const SIGNED_COLOURS = {
  light: ["#053061", "#2166ac", "#67a9cf", "#d1e5f0", "#f7f7f7", "#fddbc7", "#ef8a62", "#b2182b", "#67001f"],
  dark: ["#a8d4ff", "#6ba6dd", "#35679a", "#1c3550", "#161616", "#53311f", "#a0562c", "#dc8a4c", "#ffd0a0"],
};

const system = window.matchMedia("(prefers-color-scheme: dark)");
// a page of a file may have no storage: then the choice lasts as long as the page
const remembered = {
  get() {
    try {
      return window.localStorage.getItem("classrel-theme");
    } catch {
      return null;
    }
  },
  set(theme) {
    try {
      window.localStorage.setItem("classrel-theme", theme);
    } catch {
      // nothing is lost but the choice
    }
  },
};
let chosenTheme = ["dark", "light"].includes(remembered.get()) ? remembered.get() : null;

function themeName() {
  return chosenTheme ?? (system.matches ? "dark" : "light");
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function clusterColour(cluster, count) {
  const palette = CLUSTER_COLOURS[themeName()];
  // around a circle the last stands beside the first
  const last = cluster === count - 1 && count > 2 && cluster % palette.length === 0;
  return palette[last ? 2 : cluster % palette.length];
}

function mixed(first, second, share) {
  const part = (text, at) => parseInt(text.slice(at, at + 2), 16);
  const channel = (at) =>
    Math.round(part(first, at) + (part(second, at) - part(first, at)) * share)
      .toString(16)
      .padStart(2, "0");
  return `#${channel(1)}${channel(3)}${channel(5)}`;
}

// A palette of many colours that passes through the few.
function signedPalette(count = 255) {
  const anchors = SIGNED_COLOURS[themeName()];
  return Array.from({ length: count }, (_, at) => {
    const place = (at / (count - 1)) * (anchors.length - 1);
    const low = Math.min(Math.floor(place), anchors.length - 2);
    return mixed(anchors[low], anchors[low + 1], place - low);
  });
}

// What is legible on such a colour: `strength` is how far it is from that of zero, from 0 to 1.
function inkOn(strength) {
  return strength > 0.6 === (themeName() === "dark") ? "#111111" : "#ffffff";
}

function applyTheme() {
  document.documentElement.dataset.theme = themeName();
  const other = themeName() === "dark" ? "light" : "dark";
  const button = document.getElementById("theme");
  button.textContent = other === "dark" ? "Dark" : "Light";
  button.setAttribute("aria-label", `Switch to the ${other} theme`);
}

const still = window.matchMedia("(prefers-reduced-motion: reduce)");
