// Functions for the expressions that the tests evaluate on a page.
const messages = () => [...document.querySelectorAll(".message")].map((m) => m.innerText);

const seen = (node) => {
  const box = node.getBoundingClientRect();
  return box.width > 0 && box.height > 0 && getComputedStyle(node).visibility === "visible";
};

// spot returns the middle of the last such element once it rests where a click reaches it.
const spot = (selector, text) => {
  const node = [...document.querySelectorAll(selector)].filter((n) => seen(n) && n.textContent.includes(text ?? "")).at(-1);
  if (!node || document.querySelector(".key[aria-busy]")) return null;
  node.scrollIntoView({ block: "nearest", behavior: "instant" });
  const box = node.getBoundingClientRect();
  const at = { X: box.x + box.width / 2, Y: box.y + box.height / 2 };
  const place = `${at.X} ${at.Y}`;
  const rests = node.dataset.spot === place;
  node.dataset.spot = place;
  const hit = document.elementFromPoint(at.X, at.Y);
  return rests && (node === hit || node.contains(hit) || hit?.contains(node)) ? at : null;
};

const canvas = () => {
  const made = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  made.canvas.width = made.canvas.height = 1;
  return made;
};

// rgba reads any CSS colour as [red, green, blue, alpha].
const rgba = (colour, pen) => {
  pen.clearRect(0, 0, 1, 1);
  pen.fillStyle = colour;
  pen.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
};

const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);

const light = (colour) => {
  const [r, g, b] = colour.map((c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};

const contrast = (a, b) => {
  const [low, high] = [light(a), light(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
};

// backgrounds lists what may be behind a node's text: every stop of a gradient counts.
const backgrounds = (node, pen) => {
  if (!node) return [rgba(getComputedStyle(document.documentElement).getPropertyValue("--page"), pen)];
  const style = getComputedStyle(node);
  const stops = [...style.backgroundImage.matchAll(/rgba?\([^)]*\)/g)].map((m) => rgba(m[0], pen));
  const own = rgba(style.backgroundColor, pen);
  if (stops.length && stops.every((s) => s[3] === 1)) return stops;
  if (own[3] === 1) return [own];
  const behind = node.tagName === "DIALOG" ? [[0, 0, 0, 1]] : backgrounds(node.parentElement, pen);
  return behind.map((b) => over(own, b));
};

const unreadable = () => {
  const pen = canvas();
  const faults = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !seen(node) || node.closest(".hidden, .skip, svg, noscript, legend, option")) continue;
    const style = getComputedStyle(node);
    if (/^\p{Extended_Pictographic}/u.test(walker.currentNode.data.trim()) && walker.currentNode.data.trim().length < 4) continue;
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.6 && style.fontWeight >= 700);
    for (const behind of backgrounds(node, pen)) {
      const ratio = contrast(over(rgba(style.color, pen), behind), behind);
      if (ratio < (large ? 3 : 4.5)) faults.add(`contrast ${ratio.toFixed(2)} of "${walker.currentNode.data.trim().slice(0, 30)}" in .${node.className || node.tagName}`);
    }
  }
  return [...faults];
};

const nameless = () => [...document.querySelectorAll("button, a, input, select, img, dialog")].filter((n) => {
  if (!seen(n)) return false;
  if (n.tagName === "IMG") return !n.hasAttribute("alt");
  const labels = [...(n.labels ?? [])].map((l) => l.textContent).join("");
  return !(n.getAttribute("aria-label") || n.getAttribute("aria-labelledby") || n.textContent.trim() || labels.trim() || n.querySelector("img[alt]"));
}).map((n) => `no name: ${n.outerHTML.slice(0, 90)}`);

const wide = () => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width && document.body.scrollWidth <= width) {
    const boxes = [...document.querySelectorAll(".log, .card, .sheet, .foot")].filter((n) => seen(n) && n.scrollWidth > n.clientWidth + 1);
    return boxes.map((n) => `.${n.className} is ${n.scrollWidth} px wide in ${n.clientWidth}`);
  }
  return [`the page is ${document.documentElement.scrollWidth} px wide in ${width}`];
};

const audit = () => [...wide(), ...nameless(), ...unreadable()];
