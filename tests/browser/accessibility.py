"""What every page has to have for every customer: checked in the page itself."""

from typing import Final

from playwright.sync_api import Page

_FAULTS: Final = r"""
() => {
  const faults = [];
  const shown = (e) => e.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  const every = (selector) => [...document.querySelectorAll(selector)].filter(shown);
  const name = (e) => `<${e.tagName.toLowerCase()}> ${(e.innerText || e.name || "").slice(0, 40)}`;

  if (document.documentElement.lang !== "en") faults.push("no language");
  if (!document.title.trim()) faults.push("no title");
  if (every("main").length !== 1) faults.push("not one main landmark");
  if (every("h1").length !== 1) faults.push(`${every("h1").length} headings of level 1`);
  let level = 0;
  for (const heading of every("h1,h2,h3,h4")) {
    const next = Number(heading.tagName[1]);
    if (next > level + 1) faults.push(`${name(heading)} skips a level`);
    level = next;
  }
  for (const field of every("input:not([type=hidden]),select,textarea")) {
    if (!field.labels.length || !field.labels[0].innerText.trim()) {
      faults.push(`${name(field)} has no label`);
    }
  }
  for (const group of every("fieldset")) {
    if (!group.querySelector("legend")?.innerText.trim()) faults.push("a group without a legend");
  }
  for (const act of every("a,button")) {
    if (!act.innerText.trim()) faults.push(`${name(act)} says nothing`);
    const box = act.getBoundingClientRect();
    if (act.matches("button,.button") && box.height < 44) faults.push(`${name(act)} is too small`);
  }
  for (const pick of every("label.pick")) {
    if (pick.getBoundingClientRect().height < 44) faults.push(`${name(pick)} is too small`);
  }
  for (const e of document.querySelectorAll("[aria-describedby],[aria-labelledby]")) {
    for (const attribute of ["aria-describedby", "aria-labelledby"]) {
      for (const id of (e.getAttribute(attribute) || "").split(" ").filter(Boolean)) {
        if (!document.getElementById(id)) faults.push(`${attribute}=${id} leads nowhere`);
      }
    }
  }
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  if (new Set(ids).size !== ids.length) faults.push("an id is there twice");
  if (document.querySelector("[tabindex]:not([tabindex='-1']):not([tabindex='0'])")) {
    faults.push("a made-up order of focus");
  }
  for (const table of every("table")) {
    if (!table.caption) faults.push("a table without a caption");
    if (!table.querySelector("th[scope=col]")) faults.push("a table without column headings");
  }
  const wide = document.scrollingElement.scrollWidth - innerWidth;
  if (wide > 0) faults.push(`scrolls sideways by ${wide}`);

  const rgb = (text) => text.match(/[\d.]+/g).map(Number);
  const light = (channel) => {
    const c = channel / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  };
  const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const [r, g, b, alpha = 1] = rgb(getComputedStyle(e).backgroundColor);
      if (alpha === 1) return [r, g, b];
    }
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    return dark ? [0, 0, 0] : [255, 255, 255];
  };
  for (const e of every("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || e.matches("option,:disabled")) continue;
    const style = getComputedStyle(e);
    const [a, b] = [luminance(rgb(style.color)), luminance(ground(e))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (contrast < (large ? 3 : 4.5)) faults.push(`${name(e)} has contrast ${contrast.toFixed(2)}`);
  }
  return faults;
}
"""


def check(page: Page) -> None:
    """Fail with everything that would keep somebody from using the page."""
    assert page.evaluate(_FAULTS) == [], page.url
