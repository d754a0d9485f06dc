"""How a report looks: one style sheet, for screens wide and narrow, light and dark, and for paper.

Rule: nothing is loaded. The page's policy allows this very text and no other style, script, picture or connection.
"""

import base64
import hashlib
from typing import Final

STYLE: Final = """
:root {
  color-scheme: light dark;
  --paper: #fbfaf8; --card: #ffffff; --ink: #1d1f23; --quiet: #5f6670; --line: #e3e0da;
  --accent: #1f6f5c; --accent-soft: #d5e8e2; --bad: #b3361f; --bad-soft: #f9e2dc; --warn: #8a5a00; --warn-soft: #fbeccd;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14161a; --card: #1c1f25; --ink: #e8e6e1; --quiet: #9aa1ab; --line: #30343c;
    --accent: #6fcbb2; --accent-soft: #1f3d37; --bad: #f0917d; --bad-soft: #43211b; --warn: #e5b95c; --warn-soft: #3d3014;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
main { max-width: 62rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .4rem 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.6rem 0 .8rem; }
h3 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; }
p { margin: .4rem 0; }
.quiet { color: var(--quiet); }
.small { font-size: .875rem; }
.state {
  display: inline-block; padding: .1rem .7rem; border-radius: 1rem; font-size: .875rem; font-weight: 600;
  background: var(--accent-soft); color: var(--accent);
}
.state.partly { background: var(--warn-soft); color: var(--warn); }
.state.bad { background: var(--bad-soft); color: var(--bad); }
.card {
  background: var(--card); border: 1px solid var(--line); border-radius: .7rem; padding: 1rem 1.15rem; margin: 0 0 .9rem;
}
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr)); gap: .8rem; margin: 1.4rem 0 0; }
.figures .card { margin: 0; }
.figures b {
  display: block; overflow-wrap: anywhere; font-size: 1.35rem; line-height: 1.25; font-weight: 650;
  font-variant-numeric: tabular-nums;
}
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 0 .9rem; align-items: start; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; color: var(--quiet); font-size: .875rem; }
td:last-child, th:last-child { padding-right: 0; }
tbody tr:last-child td { border-bottom: 0; }
tfoot td { border-bottom: 0; padding-bottom: .15rem; }
tfoot tr:first-child td { border-top: 2px solid var(--line); padding-top: .6rem; }
tfoot tr.total td { font-weight: 700; }
.number { text-align: right; white-space: nowrap; }
.kind::before { content: " · "; }
h3 + .bars { margin-top: .5rem; }
.bars td { border: 0; padding: .2rem .8rem .2rem 0; }
.bars td:first-child { white-space: nowrap; width: 1%; }
.bars td:nth-child(2) { width: 99%; vertical-align: middle; }
.bar, .curve { display: block; width: 100%; }
.bar { height: .8rem; min-width: 3rem; }
.bar rect { fill: var(--accent); }
.bar.bad rect { fill: var(--bad); }
.bar rect.ground, .bar.bad rect.ground { fill: var(--line); opacity: .5; }
.curve { height: 10rem; border-bottom: 1px solid var(--line); border-left: 1px solid var(--line); }
.curve .area { fill: var(--accent-soft); }
.curve .edge { fill: none; stroke: var(--accent); stroke-width: 2; }
.axis { display: flex; justify-content: space-between; gap: 1rem; color: var(--quiet); font-size: .8rem; margin: .2rem 0; }
.reason header, .answer header { display: flex; flex-wrap: wrap; gap: .2rem .8rem; align-items: baseline; }
.reason header { margin-bottom: .5rem; }
.reason .share { max-width: 24rem; }
ul { margin: .6rem 0 0; padding: 0; list-style: none; }
li { padding: .35rem 0; border-top: 1px solid var(--line); overflow-wrap: anywhere; }
code { font: .875em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.sides { display: grid; grid-template-columns: 1fr 1fr; gap: .5rem 1.6rem; margin-top: .7rem; }
.sides > div { min-width: 0; }
.label { color: var(--quiet); font-size: .8rem; font-weight: 600; margin: 0 0 .15rem; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; margin: 0 0 .6rem; }
.failure { color: var(--bad); }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--line); }
@media (max-width: 46rem) {
  main { padding: 1.2rem 1rem 3rem; }
  h1 { font-size: 1.4rem; }
  .pair, .sides { grid-template-columns: 1fr; }
  .figures { grid-template-columns: 1fr 1fr; gap: .6rem; }
  .figures b { font-size: 1.25rem; }
  .stacked thead { position: absolute; clip-path: inset(50%); height: 1px; width: 1px; overflow: hidden; }
  .stacked tr {
    display: grid; grid-template-columns: 1fr auto; gap: 0 .8rem; padding: .5rem 0; border-bottom: 1px solid var(--line);
  }
  .stacked td { border: 0; padding: .05rem 0; white-space: normal; }
  .stacked tfoot tr:first-child td { border-top: 0; padding-top: .05rem; }
  .stacked td.spare { display: none; }
  .stacked .kind { display: block; }
  .stacked .kind::before { content: ""; }
  .stacked .sub { color: var(--quiet); font-size: .875rem; }
}
@media print {
  :root {
    --paper: #fff; --card: #fff; --ink: #000; --quiet: #444; --line: #bbb;
    --accent: #1f6f5c; --accent-soft: #d5e8e2; --bad: #a02c17; --bad-soft: #fff; --warn: #6d4700; --warn-soft: #fff;
  }
  body { font-size: 10.5pt; -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  main { max-width: none; padding: 0; }
  .card, tr, li { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  .figures { grid-template-columns: repeat(6, 1fr); gap: .4rem; }
  .figures .card { padding: .5rem .6rem; }
  .figures b { font-size: 13pt; }
}
@page { margin: 16mm 14mm; }
"""

# https://www.w3.org/TR/CSP3/ (2026-11-22): a hash allows one style sheet, and attributes of style stay forbidden.
POLICY: Final = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-"
    f"{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"
)
