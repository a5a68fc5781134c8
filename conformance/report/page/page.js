"use strict";

const form = document.getElementById("filter");
const shown = document.getElementById("shown");
const results = document.getElementById("results");
const documented = document.getElementById("documented");

// Every test is a row of the table; those that fail are also a part of their own to be opened.
const items = [...document.querySelectorAll("#tests tbody tr, .test")].map((element) => ({
  element,
  name: element.querySelector(".name").textContent,
  text: (element.querySelector(".name").textContent + " " + element.querySelector(".message").textContent).toLowerCase(),
}));
const total = document.querySelectorAll("#tests tbody tr").length;

function filter() {
  const asked = Object.fromEntries(new FormData(form));
  const text = asked.text.trim().toLowerCase();
  const option = asked.option.trim();
  let count = 0;
  for (const { element, name, text: own } of items) {
    const fits =
      (!asked.verdict || element.dataset.verdict === asked.verdict) &&
      (!asked.topology || element.dataset.topology === asked.topology) &&
      (!option || name.split("-").some((word) => word === option)) &&
      own.includes(text);
    element.hidden = !fits;
    count += fits && element.tagName === "TR";
  }
  shown.textContent = `${count} of ${total} tests`;
}

// The documented examples are a page of their own: either they or the results are there to be seen.
function show() {
  const target = document.getElementById(location.hash.slice(1));
  const examples = Boolean(documented && target && documented.contains(target));
  results.hidden = examples;
  if (documented) documented.hidden = !examples;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === (location.hash || "#main")) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  if (target && target.classList.contains("test")) {
    target.hidden = false;
    target.open = true;
  }
  if (target) target.scrollIntoView();
}

form.addEventListener("input", filter);
form.addEventListener("reset", () => setTimeout(filter));
form.addEventListener("submit", (event) => event.preventDefault());
for (const button of document.querySelectorAll("button.find")) {
  button.addEventListener("click", () => {
    form.reset();
    form.elements.text.value = button.dataset.text;
    filter();
    const found = document.querySelector(".test:not([hidden])");
    if (found) {
      found.open = true;
      found.querySelector("summary").focus();
    }
  });
}
addEventListener("hashchange", show);
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll(".test:not([hidden])")) details.open = true;
});
filter();
show();
