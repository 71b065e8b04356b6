// Draws one message.
import { fileURL } from "./api.js";
import { $, el, icon, spinner, time } from "./dom.js";
import { rich } from "./html.js";
import { copy } from "./notice.js";

// draw returns the element of a message. act has press(id, data), pay(id), open(url), busy(id, button) and text(id).
export function draw(message, act) {
  if (message.payment) return service(message);
  const keys = message.keyboard?.length > 0;
  const classes = ["message", message.from_bot ? "in" : "out"];
  if (keys) classes.push("has-keys", "boxed");
  if (message.photo_file_id) classes.push("has-picture");
  const bubble = el("div", { class: "bubble" }, ...content(message, act));
  return el("article", { class: classes.join(" "), "data-id": message.id, "aria-label": message.from_bot ? "Sallyport" : "You" },
    bubble, keys && keyboard(message, act));
}

function content(message, act) {
  const parts = [];
  const quoted = message.reply_to && act.text(message.reply_to);
  if (quoted) parts.push(el("span", { class: "quote" }, quoted));
  if (message.photo_file_id) parts.push(picture(message));
  if (message.document_file_id) parts.push(file(message));
  if (message.invoice) parts.push(invoice(message.invoice));
  const body = el("div", { class: "body", dir: "auto" });
  if (message.html) body.append(rich(message.html));
  body.append(meta(message));
  parts.push(body);
  return parts;
}

function meta(message) {
  const at = el("time", { datetime: message.date }, time(message.date));
  const edited = message.edit_date && message.from_bot ? "edited " : "";
  return el("span", { class: "meta" }, edited, at, !message.from_bot && icon("check"));
}

function picture(message) {
  const image = el("img", { src: fileURL(message.photo_file_id), alt: message.text ? "Picture, described below" : "Picture" });
  const frame = el("button", { class: "picture", type: "button", "aria-label": "Enlarge the picture", onclick: () => enlarge(image) }, image);
  image.addEventListener("error", () => {
    frame.classList.add("broken");
    frame.replaceChildren("The picture did not load");
  });
  return frame;
}

function enlarge(image) {
  const viewer = $("viewer");
  viewer.querySelector("img").src = image.src;
  viewer.querySelector("img").alt = image.alt;
  viewer.showModal();
}

function file(message) {
  const href = fileURL(message.document_file_id);
  return el("a", { class: "file", href, download: message.document_name ?? "" }, icon("file"), message.document_name || "File");
}

function invoice(i) {
  const price = i.currency === "XTR" ? `⭐ ${i.amount}` : `${i.amount} ${i.currency}`;
  return el("div", { class: "invoice" },
    el("strong", {}, i.title), el("span", {}, i.description),
    el("span", { class: `pill sum ${i.paid ? "good" : ""}` }, i.paid ? `Paid ${price}` : price));
}

function service(message) {
  const { amount, currency, refunded } = message.payment;
  const price = currency === "XTR" ? `⭐ ${amount}` : `${amount} ${currency}`;
  return el("p", { class: "message service", "data-id": message.id },
    refunded ? `Sallyport gave back ${price}` : `You paid ${price} to Sallyport`);
}

function keyboard(message, act) {
  const rows = message.keyboard.map((row) => el("div", { class: "key-row" }, ...row.map((button) => key(message, button, act))));
  return el("div", { class: "keys", role: "group", "aria-label": "Buttons" }, ...rows);
}

function key(message, button, act) {
  const kind = ["primary", "success", "danger"].includes(button.style) ? ` ${button.style}` : "";
  const url = button.url || button.web_app_url;
  const busy = act.busy(message.id, button);
  const attributes = { class: `key${kind}`, type: "button", "data-data": button.data, "data-url": url };
  if (busy) attributes["aria-busy"] = "true";
  if (button.disabled || (button.pay && message.invoice?.paid)) attributes["aria-disabled"] = "true";
  const corner = busy ? spinner() : (url && icon("link", "corner")) || (button.copy_text && icon("copy", "corner"));
  const node = el("button", attributes, el("span", {}, button.text), corner);
  node.addEventListener("click", () => {
    if (attributes["aria-disabled"]) return;
    if (button.copy_text) copy(button.copy_text);
    else if (url) act.open(url);
    else if (button.pay) act.pay(message.id);
    else act.press(message.id, button.data ?? "");
  });
  return node;
}
