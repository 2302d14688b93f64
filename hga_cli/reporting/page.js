"use strict";
for (const viewer of document.querySelectorAll(".viewer")) {
  const slider = viewer.querySelector("input[type=range]");
  const slices = viewer.querySelectorAll(".slice");
  const told = viewer.querySelector("output");
  const show = () => {
    slices.forEach((slice, place) => { slice.hidden = place !== slider.valueAsNumber; });
    told.value = slices[slider.valueAsNumber].dataset.name;
    slider.setAttribute("aria-valuetext", told.value);
  };
  slider.addEventListener("input", show);
  show();
  for (const box of viewer.querySelectorAll("input[type=checkbox]")) {
    const change = () => viewer.classList.toggle(`no-${box.value}`, !box.checked);
    box.addEventListener("change", change);
    change();
  }
}
for (const copy of document.querySelectorAll(".copy")) {
  const text = copy.querySelector("textarea");
  copy.querySelector("button").addEventListener("click", () => {
    text.select();
    navigator.clipboard?.writeText(text.value).catch(() => {});
  });
}
