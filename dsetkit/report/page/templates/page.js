"use strict";
(() => {
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);
  root.classList.add("js");

  // Names on pictures keep their size on the screen: --u is picture pixels a screen pixel.
  const measure = (svg) => {
    const box = svg.viewBox.baseVal;
    const shown = svg.getBoundingClientRect();
    if (shown.width && shown.height) {
      svg.style.setProperty("--u", Math.max(box.width / shown.width, box.height / shown.height));
    }
  };
  const sizes = new ResizeObserver((entries) => entries.forEach((entry) => measure(entry.target)));
  document.querySelectorAll("svg.pic").forEach((svg) => sizes.observe(svg));

  // Filters of the sheet; all of them must be met.
  const form = byId("filters");
  if (form) {
    const LISTS = { category: "categories", kind: "kinds" };
    const fields = [...form.querySelectorAll("select")].map((select) => ({ select, name: select.id.slice(2) }));
    const listed = (item, name) => (LISTS[name] ? JSON.parse(item.dataset[LISTS[name]]) : [item.dataset[name]]);
    const items = [...byId("sheet").querySelectorAll(":scope > [data-key]")].map((item) => ({
      item,
      key: item.dataset.key.toLowerCase(),
      values: new Map(fields.map(({ name }) => [name, new Set(listed(item, name))])),
    }));
    const apply = () => {
      const text = byId("f-key").value.trim().toLowerCase();
      let shown = 0;
      for (const one of items) {
        const fits = one.key.includes(text)
          && fields.every(({ select, name }) => !select.value || one.values.get(name).has(select.value));
        one.item.hidden = !fits;
        shown += fits;
      }
      byId("f-count").textContent = shown === items.length ? `${shown} shown` : `${shown} of ${items.length} shown`;
      byId("f-none").hidden = shown > 0;
    };
    form.addEventListener("input", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(apply));
    apply();
  }

  // The viewer: one sample, large, with its labels beside it.
  const viewer = byId("viewer");
  const stage = byId("v-stage");
  const side = byId("v-side");
  const MOST = 40;
  let list = [];
  let at = 0;
  let svg = null;
  let whole = { width: 1, height: 1 };
  let view = { x: 0, y: 0, width: 1, height: 1 };

  const draw = () => {
    if (!svg) return;
    svg.setAttribute("viewBox", `${view.x} ${view.y} ${view.width} ${view.height}`);
    measure(svg);
  };
  const fitted = () => {
    const ratio = stage.clientWidth / Math.max(1, stage.clientHeight);
    const width = Math.max(whole.width, whole.height * ratio);
    return { width, height: width / ratio };
  };
  const fit = () => {
    const { width, height } = fitted();
    view = { x: (whole.width - width) / 2, y: (whole.height - height) / 2, width, height };
    draw();
  };
  const clamp = () => {
    // The middle of what is seen stays on the picture.
    view.x = Math.min(whole.width, Math.max(0, view.x + view.width / 2)) - view.width / 2;
    view.y = Math.min(whole.height, Math.max(0, view.y + view.height / 2)) - view.height / 2;
  };
  const zoom = (factor, point) => {
    if (!svg) return;
    const most = fitted().width;
    const width = Math.min(most, Math.max(most / MOST, view.width / factor));
    if (width === most) return fit();
    const scale = width / view.width;
    const middle = point || { x: view.x + view.width / 2, y: view.y + view.height / 2 };
    view = {
      x: middle.x - (middle.x - view.x) * scale,
      y: middle.y - (middle.y - view.y) * scale,
      width,
      height: view.height * scale,
    };
    clamp();
    draw();
  };
  const move = (x, y) => {
    view.x += x;
    view.y += y;
    clamp();
    draw();
  };
  const pointOf = (event) => {
    const box = stage.getBoundingClientRect();
    return {
      x: view.x + ((event.clientX - box.left) / box.width) * view.width,
      y: view.y + ((event.clientY - box.top) / box.height) * view.height,
    };
  };
  const highlight = (number) => {
    const marked = number === undefined ? null : number;
    svg?.classList.toggle("marking", marked !== null);
    svg?.querySelectorAll(".a").forEach((shape) => shape.classList.toggle("marked", shape.dataset.i === marked));
    side.querySelectorAll("tr[data-i]").forEach((row) => row.classList.toggle("marked", row.dataset.i === marked));
  };

  const show = (place) => {
    at = (place + list.length) % list.length;
    const tile = list[at];
    const picture = tile.querySelector("svg.pic");
    const tag = tile.querySelector("figcaption .tag");
    byId("v-title").textContent = tag ? `${tile.dataset.key} · ${tag.textContent}` : tile.dataset.key;
    byId("v-place").textContent = `${at + 1} of ${list.length}`;
    svg = picture ? picture.cloneNode(true) : null;
    stage.replaceChildren(svg || tile.querySelector(".missing").cloneNode(true));
    const note = tile.querySelector(".note");
    const said = [...tile.querySelectorAll(".said")].map((one) => one.cloneNode(true));
    const more = [...tile.querySelector(".more").cloneNode(true).children].slice(1);
    side.replaceChildren(...(note ? [note.cloneNode(true)] : []), ...said, ...more);
    side.scrollTop = 0;
    side.querySelectorAll("tr[data-i]").forEach((row) => {
      row.tabIndex = 0;
      row.addEventListener("mouseenter", () => highlight(row.dataset.i));
      row.addEventListener("mouseleave", () => highlight());
      row.addEventListener("focus", () => highlight(row.dataset.i));
      row.addEventListener("blur", () => highlight());
    });
    if (svg) {
      const box = picture.viewBox.baseVal;
      whole = { width: box.width, height: box.height };
      fit();
    }
  };
  const open = (tile) => {
    const sheet = tile.closest(".sheet, .row");
    list = [...sheet.querySelectorAll(".tile")].filter((one) => !one.hidden);
    viewer.showModal();
    show(list.indexOf(tile));
    stage.focus();
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.(".tile .open");
    if (button) open(button.closest(".tile"));
  });
  byId("v-prev").addEventListener("click", () => show(at - 1));
  byId("v-next").addEventListener("click", () => show(at + 1));
  byId("v-in").addEventListener("click", () => zoom(1.5));
  byId("v-out").addEventListener("click", () => zoom(1 / 1.5));
  byId("v-fit").addEventListener("click", fit);
  byId("v-close").addEventListener("click", () => viewer.close());
  viewer.addEventListener("click", (event) => event.target === viewer && viewer.close());
  viewer.addEventListener("close", () => {
    list[at]?.querySelector(".open")?.focus();
    stage.replaceChildren();
    svg = null;
  });
  viewer.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = view.width / 10;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (event.shiftKey && moves[event.key]) move(...moves[event.key]);
    else if (event.key === "ArrowLeft") show(at - 1);
    else if (event.key === "ArrowRight") show(at + 1);
    else if (event.key === "+" || event.key === "=") zoom(1.5);
    else if (event.key === "-") zoom(1 / 1.5);
    else if (event.key === "0") fit();
    else return;
    event.preventDefault();
  });
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-Math.max(-100, Math.min(100, event.deltaY)) / 250), pointOf(event));
  }, { passive: false });

  // One pointer drags, two pinch.
  const pointers = new Map();
  const apart = () => {
    const [one, other] = [...pointers.values()];
    return Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
  };
  stage.addEventListener("pointerdown", (event) => {
    pointers.set(event.pointerId, event);
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) {
      const shape = event.target.closest?.(".a");
      highlight(shape ? shape.dataset.i : undefined);
      return;
    }
    if (pointers.size === 2) {
      const was = apart();
      pointers.set(event.pointerId, event);
      zoom(apart() / Math.max(1, was), pointOf(event));
    } else {
      pointers.set(event.pointerId, event);
      const scale = view.width / stage.clientWidth;
      move((before.clientX - event.clientX) * scale, (before.clientY - event.clientY) * scale);
    }
  });
  for (const name of ["pointerup", "pointercancel"]) {
    stage.addEventListener(name, (event) => pointers.delete(event.pointerId));
  }
  stage.addEventListener("pointerleave", () => highlight());
  new ResizeObserver(() => viewer.open && fit()).observe(stage);

  // A jump lands where things are once all around it is drawn: what was far away had a guessed height.
  let landing = 0;
  const land = (target, until) => {
    target.scrollIntoView();
    landing = performance.now() < until ? requestAnimationFrame(() => land(target, until)) : 0;
  };
  const jump = (hash) => {
    const target = hash && byId(decodeURIComponent(hash.slice(1)));
    cancelAnimationFrame(landing);
    if (target) land(target, performance.now() + 800);
  };
  for (const name of ["wheel", "touchstart", "pointerdown", "keydown"]) {
    window.addEventListener(name, () => cancelAnimationFrame(landing), { passive: true });
  }
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href^='#']");
    if (link) jump(link.hash);
  });
  window.addEventListener("load", () => jump(location.hash));

  // The section that is read is marked in the navigation.
  const links = new Map([...document.querySelectorAll(".side nav a")].map((link) => [link.hash.slice(1), link]));
  const sections = [...document.querySelectorAll("main > section")];
  const mark = () => {
    const line = window.innerHeight / 3;
    let here = sections[0];
    for (const section of sections) if (section.getBoundingClientRect().top <= line) here = section;
    links.forEach((link, id) => {
      if (id === here.id) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
  };
  let waiting = false;
  window.addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      mark();
    });
  }, { passive: true });
  mark();
})();
