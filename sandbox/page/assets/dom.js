// Small helpers to build elements; text always goes in as text.
export const $ = (id) => document.getElementById(id);

// el makes an element: el("a", { class: "key", href: "/" }, "text", child).
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== undefined && child !== null && child !== false));
  return node;
}

const svg = "http://www.w3.org/2000/svg";

// icon draws one of the symbols in icons.html.
export function icon(name, className = "") {
  const node = document.createElementNS(svg, "svg");
  const use = document.createElementNS(svg, "use");
  node.setAttribute("class", `icon ${className}`.trim());
  node.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#i-${name}`);
  node.append(use);
  return node;
}

export const spinner = () => el("span", { class: "spinner", "aria-hidden": "true" });
export const time = (date) => new Date(date).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

// day names the day of a date as a chat does.
export function day(date) {
  const at = new Date(date);
  const today = new Date();
  const days = Math.round((new Date(today).setHours(0, 0, 0, 0) - new Date(at).setHours(0, 0, 0, 0)) / 86400000);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  const sameYear = at.getFullYear() === today.getFullYear();
  return at.toLocaleDateString("en-GB", { day: "numeric", month: "long", year: sameYear ? undefined : "numeric" });
}
