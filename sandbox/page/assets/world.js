// The panel by which the world is looked at, broken and mended.
import { call, control, get, post } from "./api.js";
import { $, el, icon } from "./dom.js";
import { toast } from "./notice.js";

const pause = 2000;
const targets = { telegram: "Telegram", cryptopay: "Crypto Pay", xray: "Node API", postgres: "PostgreSQL" };
const modes = { down: "Down", hung: "Hung", slow: "Slow", error: "Error", lost: "Lost" };
const hints = { down: "nobody answers", hung: "takes calls, says nothing", slow: "answers late", error: "answers with errors", lost: "old connections lead nowhere" };
const pages = { World: "/world", Invoices: "/invoices", "VPN users": "/xray/users", Violations: "/violations" };

let product = true; // false once the server said that there is none
let drawn = "";

// start fills the panel and keeps it up to date while it can be seen.
export function start() {
  $("modes").append(...Object.entries(modes).map(([mode, name]) => el("label", { title: hints[mode] },
    el("input", { type: "radio", name: "mode", value: mode, checked: mode === "down" }), name)));
  $("links").append(...Object.entries(pages).map(([name, path]) => el("a",
    { href: control + path, target: "_blank", rel: "noopener" }, name, icon("link"))));
  $("services").append(service("Shop", "asking…", ""), service("VPN node", "asking…", ""));
  $("targets").append(...Object.keys(targets).map((t) => target(t)));
  const tick = async () => {
    if (!document.hidden && getComputedStyle($("side")).visibility === "visible") await refresh();
    setTimeout(tick, pause);
  };
  tick();
  new MutationObserver(() => $("side").classList.contains("open") && refresh()).observe($("side"), { attributeFilter: ["class"] });
}

async function refresh() {
  try {
    const [world, faults] = await Promise.all([get("/world"), get("/faults")]);
    const users = world.xray.pid ? (await get("/xray/users")).length : undefined;
    show({ product: await productState(), xray: { running: world.xray.pid !== 0, pid: world.xray.pid, users }, faults });
  } catch (error) {
    drawn = "";
    pill("no answer", "bad");
    if (error.status) $("world-state").title = error.message;
  }
}

async function productState() {
  if (!product) return undefined;
  try {
    return await get("/product");
  } catch (error) {
    if (error.status !== 409) throw error;
    product = false;
    return undefined;
  }
}

function pill(text, kind) {
  const node = $("world-state");
  if (node.textContent !== text) node.textContent = text;
  node.className = `pill ${kind}`;
}

function show(state) {
  const broken = state.faults.length + (state.xray.running ? 0 : 1) + (state.product?.running === false ? 1 : 0);
  pill(broken ? `${broken} broken` : "all well", broken ? "bad" : "good");
  countdown(state.faults);
  const { faults, ...rest } = state;
  const shape = JSON.stringify([rest, faults.map((f) => [f.target, f.mode])]);
  if (shape === drawn) return;
  drawn = shape;
  keepFocus(() => {
    $("services").replaceChildren(...[state.product && shop(state.product), node(state.xray)].filter(Boolean));
    $("targets").replaceChildren(...Object.keys(targets).map((t) => target(t, faults.find((f) => f.target === t))));
  });
  countdown(faults);
}

// keepFocus gives the focus back to the button that took its place.
function keepFocus(change) {
  const place = document.activeElement?.dataset?.place;
  change();
  if (place) document.querySelector(`[data-place="${place}"]`)?.focus({ preventScroll: true });
}

function act(place, text, kind, work) {
  const button = el("button", { class: `chip ${kind}`, type: "button", "data-place": place }, text);
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await work();
    } catch (error) {
      toast(error.message);
    }
    button.disabled = false;
    await refresh();
  });
  return button;
}

function shop({ running, pid, starts }) {
  const about = running ? `process ${pid}${starts > 1 ? ` · start ${starts}` : ""}` : "not running, comes back by itself";
  return service("Shop", about, running ? "good" : "bad",
    running ? act("shop", "Kill", "danger", () => post("/product/kill")) : act("shop", "Start", "good", () => post("/product/start")));
}

function node({ running, users }) {
  const about = running ? `${users} ${users === 1 ? "key" : "keys"} let in` : "not running";
  const acts = running
    ? [act("node", "Kill", "danger", () => post("/xray/kill")), act("node-restart", "Restart", "", () => post("/xray/restart"))]
    : [act("node", "Start", "good", () => post("/xray/start"))];
  return service("VPN node", about, running ? "good" : "bad", ...acts);
}

function service(name, about, kind, ...acts) {
  return el("div", { class: "service-card", role: "group", "aria-label": name }, el("span", { class: `dot ${kind}` }), el("strong", {}, name),
    el("small", {}, about), el("div", { class: "acts" }, ...acts));
}

function target(name, fault) {
  const button = fault
    ? act(`target-${name}`, "Heal", "good", () => call("DELETE", `/faults/${name}`))
    : act(`target-${name}`, "Break", "", () => post("/faults", {
      target: name, mode: document.querySelector("#modes :checked").value, seconds: Number($("seconds").value), latency_ms: 2000,
    }));
  button.setAttribute("aria-label", `${fault ? "Heal" : "Break"} ${targets[name]}`);
  return el("li", { class: "target" }, el("span", { class: `dot ${fault ? "bad" : "good"}` }),
    el("div", {}, el("span", {}, targets[name]), el("small", { "data-target": name, "data-mode": fault?.mode }, fault ? "" : "works")), button);
}

// countdown writes how long each fault still lasts.
function countdown(faults) {
  for (const { target: name, mode, until } of faults) {
    const node = document.querySelector(`[data-target="${name}"]`);
    if (!node) continue;
    const left = until && Math.max(0, Math.round((new Date(until) - Date.now()) / 1000));
    node.textContent = `${(modes[mode] ?? mode).toLowerCase()}${until ? `, ${left} s left` : " until healed"}`;
  }
}
