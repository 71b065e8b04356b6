// The pay card of an invoice: what is paid for, how much, with what, and how it ended.
import { get, post } from "./api.js";
import { el, icon, spinner } from "./dom.js";

const names = { USDT: "Tether", TON: "Toncoin", BTC: "Bitcoin", ETH: "Ethereum", LTC: "Litecoin", BNB: "BNB", TRX: "Tron", USDC: "USD Coin" };
const marks = { USDT: "₮", ETH: "Ξ", LTC: "Ł", USDC: "$" };
const pause = 2000;

// money writes an amount as people do; a crypto amount keeps its code.
export function money(amount, currency) {
  try {
    const whole = Number.isInteger(Number(amount));
    return new Intl.NumberFormat("ru-RU", { style: "currency", currency, minimumFractionDigits: whole ? 0 : 2 }).format(amount);
  } catch {
    return `${amount} ${currency}`;
  }
}

const price = (invoice) => money(invoice.amount, invoice.fiat ?? invoice.asset);

// PayCard lives in root until stop is called. paid is called once the payment is seen here, and back when the person leaves.
export class PayCard {
  #root;
  #hash;
  #paidHere;
  #back;
  #invoice;
  #asset;
  #paying = false;
  #problem = "";
  #timers = [];
  #stopped = false;

  constructor(root, hash, { paid = () => {}, back }) {
    this.#root = root;
    this.#hash = hash;
    this.#paidHere = paid;
    this.#back = back;
    root.replaceChildren(el("div", { class: "loading", role: "status", "aria-label": "Loading" }, spinner()));
    this.#poll();
    this.#timers.push(setInterval(() => this.#tick(), 1000));
  }

  stop() {
    this.#stopped = true;
    for (const timer of this.#timers) clearInterval(timer);
  }

  async #poll() {
    if (!this.#paying) {
      try {
        const invoice = await get(`/invoices/by-hash/${encodeURIComponent(this.#hash)}`);
        if (!this.#paying) this.#take(invoice);
      } catch (error) {
        if (error.status === 404) return this.#draw(this.#missing());
        if (!this.#invoice) this.#draw([this.#head(), el("p", { class: "problem" }, error.message)]);
      }
    }
    if (!this.#stopped && (this.#invoice?.status ?? "active") === "active") this.#timers.push(setTimeout(() => this.#poll(), pause));
  }

  #take(invoice) {
    if (this.#stopped) return;
    const before = this.#invoice?.status;
    this.#invoice = invoice;
    this.#asset ??= this.#assets()[0];
    if (before === invoice.status) return;
    this.#show();
    if (before === "active" && invoice.status === "paid") this.#paidHere();
  }

  #assets() {
    return this.#invoice.accepted_assets?.length ? this.#invoice.accepted_assets : [this.#invoice.asset];
  }

  async #pay(event) {
    event.preventDefault();
    if (this.#paying) return;
    this.#paying = true;
    this.#problem = "";
    this.#show();
    try {
      const paid = await post(`/invoices/${this.#invoice.invoice_id}/pay`, { asset: this.#asset });
      this.#paying = false;
      this.#take(paid?.status ? paid : await get(`/invoices/by-hash/${encodeURIComponent(this.#hash)}`));
    } catch (error) {
      this.#paying = false;
      this.#problem = error.message;
      this.#show();
    }
  }

  #show() {
    const states = { active: () => this.#active(), paid: () => this.#paid(), expired: () => this.#expired() };
    this.#draw((states[this.#invoice.status] ?? states.expired)());
  }

  #draw(parts) {
    if (this.#stopped) return;
    const active = document.activeElement;
    const move = this.#root.contains(active) || this.#root.closest("dialog");
    const card = el("section", { class: "pay", "data-status": this.#invoice?.status ?? "missing" }, ...parts);
    this.#root.replaceChildren(card);
    if (!move) return;
    const again = [...card.querySelectorAll("input")].find((input) => input.value === active.value);
    (again ?? card.querySelector("[data-focus]"))?.focus({ preventScroll: true });
  }

  #head() {
    return el("header", { class: "pay-head" }, icon("gem", "gem"),
      el("div", {}, el("strong", {}, "Crypto Pay"), el("span", {}, "Pays like @CryptoBot")),
      el("span", { class: "pill warn" }, "sandbox"));
  }

  #active() {
    const invoice = this.#invoice;
    const label = this.#paying ? "Paying…" : `Pay ${price(invoice)} with ${this.#asset}`;
    return [this.#head(),
      el("div", { class: "pay-sum" },
        invoice.description && el("p", { class: "about", dir: "auto" }, invoice.description),
        el("p", { class: "sum" }, price(invoice)),
        invoice.expiration_date && el("p", { class: "left" }, icon("clock"), el("span", { "data-left": true }, this.#left()))),
      el("form", { onsubmit: (event) => this.#pay(event) },
        el("fieldset", { class: "assets", disabled: this.#paying }, el("legend", {}, "Pay with"),
          el("div", { class: "asset-grid" }, ...this.#assets().map((asset) => this.#choice(asset)))),
        this.#problem && el("p", { class: "problem", role: "alert" }, this.#problem),
        el("button", { class: "primary big", type: "submit", "aria-disabled": this.#paying && "true" }, this.#paying && spinner(), label)),
      el("p", { class: "hint" }, "Play money: nothing is charged anywhere."),
    ];
  }

  #choice(asset) {
    const input = el("input", { type: "radio", name: "asset", value: asset, checked: asset === this.#asset,
      "data-focus": asset === this.#asset, onchange: () => { this.#asset = asset; this.#show(); } });
    return el("label", { class: "asset" }, input, el("span", { class: `coin ${asset}`, "aria-hidden": "true" }, marks[asset] ?? asset[0]),
      el("div", {}, el("b", {}, asset), el("span", {}, names[asset] ?? "")));
  }

  #paid() {
    const { paid_amount: amount, paid_asset: asset } = this.#invoice;
    return [this.#head(), el("div", { class: "outcome", role: "status" }, icon("check", "mark"), el("h2", {}, "Paid"),
      el("p", {}, amount ? `${Number(amount).toLocaleString("en", { maximumFractionDigits: 8 })} ${asset} for ${price(this.#invoice)}` : price(this.#invoice)),
      this.#invoice.description && el("p", { dir: "auto" }, this.#invoice.description)),
    this.#leave()];
  }

  #expired() {
    return [this.#head(), el("div", { class: "outcome over", role: "status" }, icon("clock", "mark"), el("h2", {}, "The invoice has expired"),
      el("p", {}, "Nothing was charged. Order again in the chat.")), this.#leave()];
  }

  #leave() {
    return el("button", { class: "primary big", type: "button", "data-focus": true, onclick: this.#back }, "Back to the chat");
  }

  #missing() {
    return [this.#head(), el("div", { class: "outcome over", role: "status" }, icon("close", "mark"), el("h2", {}, "No such invoice"),
      el("p", {}, "It was cancelled, or the sandbox was started anew.")), this.#leave()];
  }

  #left() {
    const seconds = Math.max(0, Math.round((new Date(this.#invoice.expiration_date) - Date.now()) / 1000));
    const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
    const text = parts.slice(parts[0] ? 0 : 1).map((n, i) => String(n).padStart(i ? 2 : 1, "0")).join(":");
    return `Expires in ${text}`;
  }

  #tick() {
    const left = this.#root.querySelector("[data-left]");
    if (left && this.#invoice) left.textContent = this.#left();
  }
}
