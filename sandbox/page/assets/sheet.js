// The sheet over the chat in which an invoice is paid.
import { $, el, icon } from "./dom.js";
import { PayCard } from "./paycard.js";

const linger = 1500; // how long "Paid" stays in sight before the sheet closes

// invoiceHash returns the hash of an address of our pay page, or undefined.
export function invoiceHash(address) {
  if (!URL.canParse(address, location.href)) return undefined;
  const url = new URL(address, location.href);
  const local = url.port === location.port && ["localhost", "127.0.0.1", "[::1]", location.hostname].includes(url.hostname);
  return local ? url.pathname.match(/^\/pay\/([^/]+)$/)?.[1] : undefined;
}

// pay opens the sheet for an invoice; it closes itself after the payment.
export function pay(hash) {
  const sheet = $("sheet");
  const root = el("div");
  const close = el("button", { class: "round sheet-close", type: "button", "aria-label": "Close", onclick: () => sheet.close() }, icon("close"));
  $("sheet-body").replaceChildren(close, root);
  let timer;
  const card = new PayCard(root, hash, {
    paid: () => { timer = setTimeout(() => sheet.close(), linger); },
    back: () => sheet.close(),
  });
  const outside = (event) => {
    if (event.target === sheet) sheet.close();
  };
  sheet.addEventListener("click", outside);
  sheet.addEventListener("close", () => {
    clearTimeout(timer);
    sheet.removeEventListener("click", outside);
    card.stop();
    $("sheet-body").replaceChildren();
  }, { once: true });
  sheet.showModal();
}
