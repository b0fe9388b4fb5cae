/** The report's style sheet: light and dark by the reader's setting, one column on small screens. */
export const styleSheet = `
:root {
  color-scheme: light dark;
  --page: #fbfaf7; --card: #fff; --ink: #1d2126; --soft: #626a75; --line: #e3e0d9;
  --accent: #b4451f; --accent-soft: #e8b8a3; --chance: #1d2126; --track: #eeebe4;
  --seen: #2d6a5e; --new: #7a4b9a; --third: #2b5f9e; --fourth: #9a6a00; --fifth: #a03060;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14161a; --card: #1c1f25; --ink: #e9e7e2; --soft: #9aa3af; --line: #30343c;
    --accent: #f0794a; --accent-soft: #b06a4c; --chance: #e9e7e2; --track: #2a2e36;
    --seen: #6fbfae; --new: #c39be0; --third: #7fb0ea; --fourth: #d9ab4a; --fifth: #ea86ae;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 ui-sans-serif, system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  font-variant-numeric: tabular-nums;
}
main, header.top, footer { max-width: 1120px; margin: 0 auto; padding: 0 24px; }
header.top { padding-top: 56px; }
header.top p { margin: 0; color: var(--soft); }
h1 { font-size: 34px; line-height: 1.15; letter-spacing: -0.02em; margin: 0 0 6px; }
h2 { font-size: 22px; letter-spacing: -0.01em; margin: 56px 0 4px; }
h3 { font-size: 16px; margin: 28px 0 8px; }
.lead { color: var(--soft); margin: 0 0 16px; max-width: 70ch; }
code { font: 13.5px/1.6 ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 18px 20px; }
.scroll { overflow-x: auto; }

.facts { display: flex; flex-wrap: wrap; gap: 1px;
  background: var(--line); border: 1px solid var(--line); border-radius: 12px; overflow: hidden;
  margin: 28px 0 0; }
.facts div { flex: 1 1 140px; max-width: 100%; background: var(--card); padding: 14px 18px; }
.facts dt { color: var(--soft); font-size: 13px; }
.facts dd { margin: 0; font-size: 20px; font-weight: 600; letter-spacing: -0.01em; overflow-wrap: break-word; }
.facts .wide { flex-basis: 240px; min-width: 0; }
.facts .wide dd { overflow-wrap: anywhere; font-size: 15px; font-weight: 500; line-height: 1.4; padding-top: 4px; }

.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 200px), 1fr)); gap: 16px; margin-top: 16px; }
.charts h3 { margin: 0 0 6px; font-size: 14px; font-weight: 600; }
.chart { display: block; width: 100%; height: auto; }
.chart text { font-size: 12px; fill: var(--soft); }
.chart .end { text-anchor: end; }
.chart .middle { text-anchor: middle; }
.chart .name { font-size: 12.5px; }
.chart .grid { stroke: var(--line); }
.chart .axis { stroke: var(--soft); }
.chart .main { stroke: var(--accent); stroke-width: 2.2; fill: none; stroke-linejoin: round; }
.chart .faint { stroke: var(--accent-soft); stroke-width: 1; fill: none; opacity: 0.75; }
.chart .point { fill: var(--card); stroke: var(--accent); stroke-width: 2; }
.chart .point.end { fill: var(--accent); }
.chart .point.best { fill: var(--new); stroke: var(--new); }
.chart .bar-fill { fill: var(--accent-soft); }
.chart .reference { stroke: var(--chance); stroke-dasharray: 3 4; opacity: 0.6; }

.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); gap: 16px; }
.plot { margin: 0; break-inside: avoid; }
.plot.wide { max-width: 720px; }
.plot .line { stroke: currentColor; stroke-width: 1.8; fill: none; stroke-linejoin: round; }
.plot .band { fill: currentColor; opacity: 0.14; }
.plot .mark { fill: currentColor; stroke: var(--card); stroke-width: 1; }
.plot .interval { stroke: currentColor; stroke-width: 1.4; opacity: 0.75; }
.plot .s0 { color: var(--accent); } .plot .s1 { color: var(--seen); } .plot .s2 { color: var(--new); }
.plot .s3 { color: var(--third); } .plot .s4 { color: var(--fourth); } .plot .s5 { color: var(--ink); }
.plot .s6 { color: var(--fifth); } .plot .s7 { color: var(--soft); }
.legend { display: flex; flex-wrap: wrap; gap: 2px 18px; margin: 6px 0 0; padding: 0; list-style: none; font-size: 13.5px; }
.legend li { display: flex; align-items: center; gap: 7px; }
.legend .key { width: 34px; height: 14px; flex: none; }
table.dense { font-size: 14px; margin-top: 12px; }
table.dense th, table.dense td { padding-top: 4px; padding-bottom: 4px; }
.choices tbody th { white-space: normal; }
.choices td.number, .choices th.number { padding: 4px 0 4px 16px; }
.choices td.why { border-top: 0; padding: 0 0 8px; color: var(--soft); font-size: 13px; line-height: 1.4; }
.chart .frame { fill: none; stroke: var(--soft); }
.chart .point-main { fill: var(--accent); stroke: var(--card); stroke-width: 1.5; }
.chart .point-faint { fill: var(--soft); opacity: 0.55; }
.chart .point-name { fill: var(--ink); }
.shift { display: grid; grid-template-columns: minmax(0, 380px) minmax(0, 1fr); gap: 20px 28px; margin-top: 16px; }
.shift td.number, .shift th.number { padding-right: 0; padding-left: 14px; }
.shift td small { color: var(--soft); font-size: 12.5px; }

.disagreements { flex-wrap: wrap; }
.disagreements li { max-width: 150px; }
.disagreements small { display: block; color: var(--soft); font-size: 12.5px; }
details.card { margin-top: 12px; }
details summary { cursor: pointer; }
.reliability { display: block; margin: 8px 0 16px; border: 1px solid var(--line); overflow: visible; }
.reliability .bin { fill: var(--accent-soft); }

table { border-collapse: collapse; width: 100%; }
caption { text-align: left; font-weight: 600; padding-bottom: 6px; }
caption small { display: block; white-space: pre-line; font-weight: 400; color: var(--soft); font-size: 13.5px; }
th, td { padding: 9px 12px 9px 0; text-align: left; vertical-align: top; border-top: 1px solid var(--line); }
thead th { color: var(--soft); font-weight: 500; font-size: 13px; border-top: 0; padding-bottom: 4px; }
tbody th { font-weight: 500; white-space: nowrap; }
td.number, th.number { text-align: right; padding-right: 28px; }
td.number { white-space: nowrap; }
td.metric { min-width: 140px; white-space: nowrap; }
td.metric b { font-weight: 600; }
td.metric small { color: var(--soft); font-size: 12.5px; margin-left: 6px; }
.bar { display: block; width: 100%; max-width: 150px; height: 6px; margin-top: 4px; }
.bar .track { fill: var(--track); }
.bar .value { fill: var(--accent); }
.bar .chance { fill: var(--chance); }
.tables { display: grid; gap: 20px; }
.tag { display: inline-block; font-size: 12px; font-weight: 500; line-height: 1; padding: 4px 8px;
  border-radius: 99px; border: 1px solid currentColor; color: var(--seen); margin-left: 8px; white-space: nowrap; }
.tag.new { color: var(--new); }

.queries { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 500px), 1fr)); gap: 16px; }
.queries h3 { margin: 0 0 10px; font-size: 17px; }
.strip + .strip { margin-top: 12px; }
.strip p { margin: 0 0 5px; font-size: 13px; color: var(--soft); }
.images { display: grid; grid-template-columns: repeat(8, minmax(0, 1fr)); gap: 6px; margin: 0; padding: 0; list-style: none; }
.images img, .few img { display: block; width: 100%; aspect-ratio: 1; object-fit: contain; background: #fff;
  border: 1px solid var(--line); border-radius: 8px; padding: 3px; }

.images small { display: block; font-size: 11.5px; line-height: 1.3; color: var(--soft); margin-top: 3px; overflow-wrap: anywhere; }

.confusions { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 500px), 1fr)); gap: 16px; }
.confusions h4 { margin: 0; font-size: 16px; font-weight: 600; }
.confusions h4 span { color: var(--soft); font-weight: 400; }
.confusions p { margin: 0 0 10px; color: var(--soft); font-size: 14px; }
.pair { display: grid; grid-template-columns: 5fr 3fr; gap: 18px; }
.few { display: grid; gap: 6px; margin: 0; padding: 0; list-style: none; }
.few.five { grid-template-columns: repeat(5, minmax(0, 1fr)); }
.few.three { grid-template-columns: repeat(3, minmax(0, 1fr)); }
.pair small { display: block; color: var(--soft); margin-bottom: 4px; }

.next { padding: 0; margin: 16px 0 0; list-style: none; display: grid; gap: 10px; }
.next code { display: block; overflow-x: auto; white-space: pre; background: var(--track); border-radius: 8px;
  padding: 9px 12px; margin-top: 6px; }
footer { margin-top: 64px; padding-bottom: 48px; color: var(--soft); font-size: 13px; }
footer ul { padding-left: 18px; margin: 6px 0 0; }
@media (max-width: 800px) {
  .choices, .choices thead, .choices tbody { display: block; }
  .choices tr { display: grid; grid-template-columns: 3fr 5fr 4fr 2fr 5fr 2fr; }
  .choices tr > :first-child { grid-column: 1 / -1; }
  .choices td { border-top: 0; }
  .choices td.number, .choices th.number { text-align: left; padding-left: 0; }
}
@media (max-width: 560px) {
  header.top { padding-top: 28px; }
  main, header.top, footer { padding-left: 16px; padding-right: 16px; }
  .card { padding: 14px; }
  .scroll > .chart { min-width: 640px; }
  .images { grid-template-columns: repeat(4, minmax(0, 1fr)); }
  .pair, .shift { grid-template-columns: 1fr; gap: 10px; }
}
@media print {
  :root { color-scheme: light; --page: #fff; --card: #fff; --ink: #000; --soft: #444; --line: #bbb; }
  body { background: #fff; font-size: 11pt; }
  .card, .plot, tr, .choices tbody { break-inside: avoid; }
  .scroll { overflow: visible; }
  h2, h3 { break-after: avoid; }
}
`;
