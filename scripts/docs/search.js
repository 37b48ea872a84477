"use strict";
{
  const field = document.getElementById("search");
  const found = document.getElementById("found");
  const up = document.querySelector("nav").dataset.up;
  field.hidden = false;
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const hits = words.length === 0 ? [] : ENTRIES.filter(([text, title]) => {
      const line = `${text} ${title}`.toLowerCase();
      return words.every((word) => line.includes(word));
    }).slice(0, 30);
    found.replaceChildren(...hits.map(([text, title, path]) => {
      const link = document.createElement("a");
      link.href = `${up}/${path}`;
      link.textContent = text === title ? text : `${text} · ${title}`;
      const item = document.createElement("li");
      item.append(link);
      return item;
    }));
    found.hidden = hits.length === 0;
  });
}
