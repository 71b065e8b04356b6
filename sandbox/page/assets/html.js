// Turns the emulator's HTML into nodes, letting through a list of tags and nothing else.
import { el } from "./dom.js";
import { copy } from "./notice.js";

const plain = new Set(["B", "I", "U", "S", "BLOCKQUOTE"]);
const schemes = new Set(["http:", "https:", "tg:", "ton:", "mailto:", "tel:"]);
const policy = globalThis.trustedTypes?.createPolicy("sallyport", { createHTML: (html) => html });

// parse never runs anything: the document it makes has no window.
const parse = (html) => new DOMParser().parseFromString(policy ? policy.createHTML(html) : html, "text/html").body;

// rich returns the nodes of a message's text.
export function rich(html) {
  const out = document.createDocumentFragment();
  out.append(...[...parse(html).childNodes].flatMap(clean));
  for (const block of out.querySelectorAll("code.long, pre, blockquote")) tighten(block.nextSibling);
  return out;
}

// tighten drops the line break after a block, which ends its line by itself.
function tighten(text) {
  if (text?.nodeType === Node.TEXT_NODE) text.data = text.data.replace(/^\n/, "");
}

function clean(node) {
  if (node.nodeType === Node.TEXT_NODE) return [document.createTextNode(node.data)];
  if (node.nodeType !== Node.ELEMENT_NODE) return [];
  const children = [...node.childNodes].flatMap(clean);
  if (plain.has(node.tagName)) return [el(node.tagName, {}, ...children)];
  if (node.tagName === "CODE" || node.tagName === "PRE") return [copyable(node, children)];
  if (node.tagName === "A") return [link(node, children)];
  if (node.tagName === "SPAN" && node.className === "tg-spoiler") return [spoiler(children)];
  if (node.tagName === "SCRIPT" || node.tagName === "STYLE") return [];
  return children;
}

function link(node, children) {
  const href = node.getAttribute("href") ?? "";
  const safe = URL.canParse(href) && schemes.has(new URL(href).protocol);
  return safe ? el("a", { href, target: "_blank", rel: "noopener noreferrer" }, ...children) : el("span", {}, ...children);
}

// pressable makes an element answer to a click and to the keys that a button answers to.
function pressable(node, label, act) {
  node.tabIndex = 0;
  node.setAttribute("role", "button");
  node.setAttribute("aria-label", label);
  node.addEventListener("click", (event) => {
    if (String(getSelection()) === "") act(event);
  });
  node.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    act(event);
  });
  return node;
}

function copyable(node, children) {
  const text = node.textContent;
  const made = el(node.tagName, { title: "Tap to copy", class: text.length > 48 && "long" }, ...children);
  return pressable(made, `Copy ${text.length > 60 ? `${text.slice(0, 40)}…` : text}`, () => copy(text));
}

function spoiler(children) {
  const node = el("span", { class: "tg-spoiler" }, ...children);
  return pressable(node, "Hidden text, press to show", () => {
    node.classList.add("shown");
    node.removeAttribute("aria-label");
  });
}
