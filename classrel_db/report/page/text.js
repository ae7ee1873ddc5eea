// Text and numbers as the page shows them, and elements made of them. What users have written enters the
// page as text alone: here by textContent, on a canvas as drawn text.

const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

// Controls, and marks that turn the direction of the text after them, are written out.
function visible(text) {
  return String(text).replace(UNSAFE, (sign) => {
    const named = { "\n": "\\n", "\r": "\\r", "\t": "\\t" }[sign];
    const code = sign.charCodeAt(0);
    const hex = code.toString(16);
    return named ?? (code < 256 ? `\\x${hex.padStart(2, "0")}` : `\\u${hex.padStart(4, "0")}`);
  });
}

// The first characters of a text, with an ellipsis where there are more; no sign is cut in two.
function shortened(text, most) {
  if (text.length <= most) return text;
  const signs = Array.from(text);
  return signs.length <= most ? text : `${signs.slice(0, most - 1).join("").trimEnd()}…`;
}

function fixed(value, digits) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : text;
}

function percent(share) {
  return share === null || Number.isNaN(share) ? "–" : `${Math.round(share * 1000) / 10} %`;
}

function counted(number) {
  return number.toLocaleString("en");
}

function plural(number, one, many) {
  return `${counted(number)} ${number === 1 ? one : many}`;
}

// The decimal with the fewest digits that is the same float32.
function shortest(value) {
  const single = Math.fround(value);
  for (let digits = 6; digits < 9; digits += 1) {
    const candidate = Number(single.toPrecision(digits));
    if (Math.fround(candidate) === single) return String(candidate);
  }
  return String(Number(single.toPrecision(9)));
}

function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

// An element: `on…` are listeners, other properties attributes; true is an attribute without a value.
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

// Say something to who does not see the canvas.
function announce(text) {
  document.getElementById("said").textContent = text;
}

const tip = document.getElementById("tip");

// Lines beside the pointer; the first stands out.
function showTip(lines, x, y) {
  tip.replaceChildren(...lines.map((line, at) => element(at ? "div" : "strong", {}, line)));
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const left = x + 14 + width > window.innerWidth ? x - width - 10 : x + 14;
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${clamp(y + 14, 4, Math.max(4, window.innerHeight - height - 4))}px`;
}

function hideTip() {
  tip.hidden = true;
}
