"""The look of a report's page: light and dark, wide and narrow."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1c1e21; --quiet: #5b616b; --line: #d8dce2; --band: #f4f5f7;
  --accent: #0b62a8; --best: #e3f1e4;
  --c0: #0072b2; --c1: #d55e00; --c2: #00875f; --c3: #b5488c; --c4: #8a6d00; --c5: #3a8fc4;
  --c6: #6b4fb3; --c7: #6b7078;
  --s0: #440154; --s1: #472d7b; --s2: #3b528b; --s3: #2c728e; --s4: #21918c; --s5: #28ae80;
  --s6: #4fb954; --s7: #9bbf1a; --s8: #d4ae00;
  --y0: #c0504d; --y1: #c98a1b; --y2: #8fa31e; --y3: #3a9d5d; --y4: #2a9bb0; --y5: #4a7fd1;
  --y6: #8a63c9; --y7: #c253a0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14161a; --ink: #e4e6ea; --quiet: #9aa1ac; --line: #343942; --band: #1d2026;
    --accent: #74b9ee; --best: #1d3a26;
    --c0: #4ea8e0; --c1: #f0894a; --c2: #35c796; --c3: #e394c6; --c4: #d9b84a; --c5: #9ad1f2;
    --c6: #ab96ea; --c7: #a7adb6;
    --s0: #8f63b8; --s1: #7d78c8; --s2: #6390d0; --s3: #4fa5c2; --s4: #38b6a8; --s5: #43c588;
    --s6: #7bd45f; --s7: #bfe03a; --s8: #fde725;
  }
}
* { box-sizing: border-box; }
html { scroll-padding-top: 3.5rem; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif;
}
nav {
  position: sticky; top: 0; z-index: 3; background: var(--paper);
  border-bottom: 1px solid var(--line); overflow-x: auto; white-space: nowrap;
}
nav ul { display: flex; gap: 1.1rem; margin: 0; padding: 0.7rem 1rem; list-style: none; }
main, header { max-width: 75rem; margin: 0 auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 1.5rem 0 0.5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 0.6rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1rem 0 0.3rem; overflow-wrap: anywhere; }
p { max-width: 46rem; margin: 0.5rem 0; overflow-wrap: anywhere; }
a { color: var(--accent); }
a:focus-visible, summary:focus-visible, .wide:focus-visible {
  outline: 2px solid var(--accent); outline-offset: 2px;
}
.wide { overflow-x: auto; margin: 0.8rem 0 1.4rem; max-width: 100%; }
table { border-collapse: separate; border-spacing: 0; font-size: 0.875rem; }
caption { text-align: left; font-weight: 600; padding: 0.3rem 0; }
caption span { position: sticky; left: 0; display: inline-block; white-space: normal;
  max-width: calc(100vw - 2rem); }
th, td { padding: 0.3rem 0.7rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; font-variant-numeric: tabular-nums; vertical-align: baseline; }
thead th { vertical-align: bottom; white-space: normal; font-weight: 600; color: var(--quiet);
  min-width: 5.5rem; }
tbody th, thead th:first-child { position: sticky; left: 0; background: var(--paper);
  text-align: left; font-weight: 500; z-index: 1; }
wbr { display: none; }
tbody th { max-width: 20rem; overflow: hidden; text-overflow: ellipsis; }
tbody tr:nth-child(even) > * { background: var(--band); }
td a { color: inherit; text-decoration: none; }
td a:hover { text-decoration: underline; }
td small, td .range { display: block; font-size: 0.75rem; font-weight: 400; color: var(--quiet); }
tbody tr td.best { background: var(--best); font-weight: 700; }
td.long { white-space: normal; text-align: left; min-width: 18rem; overflow-wrap: anywhere; }
details { margin: 0.5rem 0; border: 1px solid var(--line); border-radius: 6px; padding: 0 0.8rem; }
summary { cursor: pointer; padding: 0.5rem 0; font-weight: 600; overflow-wrap: anywhere; }
pre { overflow-x: auto; background: var(--band); padding: 0.5rem 0.7rem; font-size: 0.78rem;
  margin: 0.3rem 0; border-radius: 4px; }
code { font-size: 0.85em; overflow-wrap: anywhere; }
.run:target { outline: 2px solid var(--accent); outline-offset: 4px; }
.figures { display: grid; gap: 1rem 1.5rem; margin: 0.8rem 0;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); }
.figures.small { grid-template-columns: repeat(auto-fill, minmax(min(100%, 10rem), 1fr)); }
figure { margin: 0; max-width: 32rem; }
.small figure { max-width: 15rem; }
figcaption { font-size: 0.875rem; font-weight: 600; }
svg { display: block; width: 100%; height: auto; font-family: inherit; }
svg text { fill: var(--ink); font-size: 11px; }
@media (max-width: 40rem) {
  wbr { display: inline; }
  th, td { padding: 0.3rem 0.5rem; }
  tbody th { max-width: 9.5rem; white-space: normal; overflow-wrap: break-word; }
}
@media print { nav { position: static; } details { break-inside: avoid; } }
"""
