// Runs before the first paint: sets the appearance to what was chosen, or else to what the system has.
(() => {
  const key = "sallyport-theme";
  const system = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => localStorage.getItem(key);
  const apply = () => {
    const dark = (chosen() ?? (system.matches ? "dark" : "light")) === "dark";
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    document.querySelector("#theme")?.setAttribute("aria-pressed", String(dark));
  };
  apply();
  system.addEventListener("change", apply);
  addEventListener("storage", (event) => event.key === key && apply());
  addEventListener("DOMContentLoaded", () => {
    apply();
    document.querySelector("#theme")?.addEventListener("click", () => {
      const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
      const same = next === (system.matches ? "dark" : "light");
      if (same) localStorage.removeItem(key);
      else localStorage.setItem(key, next);
      apply();
    });
  });
})();
