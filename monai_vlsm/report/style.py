# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""How the page looks: one column, tables that scroll on a phone, black on white for paper."""

from __future__ import annotations

__all__ = ["STYLE"]

STYLE = """
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: 1.5rem 1.25rem 4rem; max-width: 64rem; background: #fff; color: #1c2329;
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: .5rem 0 .25rem; }
h2 { font-size: 1.45rem; margin: 3rem 0 .75rem; padding-top: .75rem; border-top: 3px solid #0072b2; }
h3 { font-size: 1.15rem; margin: 2.25rem 0 .5rem; }
h4 { font-size: 1rem; margin: 1.5rem 0 .4rem; color: #45525c; }
h1, h2, h3, h4, td, th, p, figcaption { overflow-wrap: anywhere; unicode-bidi: isolate; }
p { margin: .5rem 0; max-width: 46rem; }
p.small { font-size: .875rem; color: #55626c; }
nav { margin: 1rem 0 0; font-size: .925rem; }
nav ul { margin: 0; padding-left: 1.1rem; }
nav a { color: #00598c; }
.scroll { overflow-x: auto; margin: .9rem 0; }
table { border-collapse: collapse; font-size: .9rem; line-height: 1.35; min-width: 60%; }
th, td { text-align: left; vertical-align: top; padding: .4rem .9rem .4rem 0; border-bottom: 1px solid #e2e7ea;
  overflow-wrap: normal; }
th { font-weight: 600; color: #45525c; border-bottom: 2px solid #b9c3ca; vertical-align: bottom; }
td.text { min-width: 5.5rem; max-width: 22rem; overflow-wrap: anywhere; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.number + td.text, th.number + th.text { padding-left: .75rem; }
th.number { white-space: normal; min-width: 3.5rem; }
td small { display: block; font-size: .88em; color: #64717b; }
details { margin: .75rem 0; }
summary { cursor: pointer; color: #00598c; }
.hint { border-left: 4px solid #e69f00; background: #fdf6e6; padding: .6rem .9rem; margin: .75rem 0; }
.hint p { margin: 0; max-width: none; }
.hint code { display: block; margin-top: .3rem; }
code { font: .85rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
figure { margin: 1rem 0 1.5rem; }
figure.plot img { display: block; max-width: 100%; height: auto; }
figcaption { font-size: .875rem; color: #55626c; max-width: 46rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 18rem), 1fr)); gap: 0 1.5rem; }
.plots figure { margin: .5rem 0; }
td.short { white-space: nowrap; }
.photo { border: 1px solid #e2e7ea; border-radius: 6px; padding: .75rem; }
.photo img { display: block; width: 100%; max-width: 44rem; height: auto; margin: 0 auto .5rem; }
.photo figcaption { max-width: none; }
.photo strong { color: #1c2329; font-size: 1rem; }
.none { background: #f1f4f6; color: #64717b; text-align: center; padding: 2rem 1rem; margin-bottom: .5rem; }
footer { margin-top: 3rem; font-size: .875rem; color: #55626c; border-top: 1px solid #e2e7ea; padding-top: .75rem; }
@media screen and (max-width: 40rem) {
  body { padding: 1rem .9rem 3rem; }
  h1 { font-size: 1.55rem; }
  h2 { font-size: 1.3rem; }
  table, tbody, tr { display: block; width: 100%; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tr { border-bottom: 2px solid #b9c3ca; padding: .4rem 0; }
  tr:first-child { border-top: 2px solid #b9c3ca; }
  td, td.text { display: flex; justify-content: space-between; gap: 1rem; max-width: none; padding: .15rem 0; border: 0;
    text-align: right; white-space: normal; }
  td::before { content: attr(data-title); color: #64717b; text-align: left; overflow-wrap: normal; flex: 0 1 45%; }
  td.number + td.text { padding-left: 0; }
  td span { flex: 0 1 auto; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  .scroll { overflow: visible; }
  table { font-size: 8pt; }
  figure, tr, .hint { break-inside: avoid; }
  h2, h3, h4 { break-after: avoid; }
}
"""
