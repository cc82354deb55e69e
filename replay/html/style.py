"""How the page looks: light and dark, on a phone, a screen and paper.

Blue and green mean the two sides, red and amber mean trouble; nothing is said by colour alone.
"""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--bg:#fbfbf9;--card:#fff;--ink:#1a1c20;--soft:#565d68;--line:#d8dbe0;--faint:#eceef1;
--blue:#1f5dbb;--blue2:#c9dbf6;--green:#17713f;--green2:#c5e6d2;--bad:#b3261e;--bad2:#fbe4e1;--warn:#835400;
--warn2:#faedcd;--mono:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
@media (prefers-color-scheme:dark){:root{--bg:#121417;--card:#1a1d22;--ink:#e9ebee;--soft:#a9b0bb;--line:#343a43;
--faint:#242930;--blue:#82b1ff;--blue2:#24446f;--green:#74d6a0;--green2:#1e4d35;--bad:#ff9186;--bad2:#43211e;
--warn:#f3c566;--warn2:#3d3118}}@media print{:root{color-scheme:light;--bg:#fff;--card:#fff;--ink:#000;--soft:#444;
--line:#bbb;--faint:#eee;--blue:#1f5dbb;--blue2:#c9dbf6;--green:#17713f;--green2:#c5e6d2;--bad:#b3261e;--bad2:#fff;
--warn:#835400;--warn2:#fff}nav{display:none}figure,dl>div,tr{break-inside:avoid}h2{break-after:avoid}thead{
display:table-header-group}body{font-size:11px}}*{box-sizing:border-box}html{-webkit-text-size-adjust:100%;
scroll-behavior:smooth;scroll-padding-top:1rem}body{margin:0 auto;padding:1.1rem 1rem 4rem;max-width:66rem;
background:var(--bg);color:var(--ink);overflow-wrap:anywhere;
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans","DejaVu Sans",sans-serif}header{
border-left:6px solid var(--tone);padding:.1rem 0 .1rem .9rem;margin-bottom:1.1rem}header.good{--tone:var(--green)}
header.warn{--tone:var(--warn)}header.bad{--tone:var(--bad)}h1{font-size:1.55rem;line-height:1.2;margin:0 0 .3rem;
letter-spacing:-.01em;text-wrap:balance}h2{font-size:1.12rem;margin:2.4rem 0 .7rem;padding-top:.7rem;
border-top:1px solid var(--line)}h3{font-size:.95rem;margin:1.3rem 0 .4rem;font-weight:600}p{margin:.4rem 0}.note{
color:var(--soft);font-size:.86rem}.sub{color:var(--soft);font-size:.9rem;margin:0}a{color:inherit;
text-decoration-color:var(--soft);text-underline-offset:.15em}a:focus-visible{outline:2px solid var(--blue);
outline-offset:2px}code,.type,.hash{font-family:var(--mono);font-size:.84em}nav{display:flex;flex-wrap:wrap;
gap:.2rem 1rem;font-size:.9rem;margin:1.1rem 0 0}nav a{padding:.35rem 0}.answers{margin:0;display:grid;gap:.55rem}
.answers>div{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.6rem .8rem}.answers dt{
font-size:.82rem;color:var(--soft);margin:0}.answers dd{margin:0}.answers .good dd::before{content:"\\2713\\00a0";
color:var(--green);font-weight:700}.answers .warn{background:var(--warn2);border-color:var(--warn)}
.answers .warn dd::before{content:"!\\00a0";color:var(--warn);font-weight:700}.answers .bad{background:var(--bad2);
border-color:var(--bad)}.answers .bad dd::before{content:"\\2715\\00a0";color:var(--bad);font-weight:700}
.answers .warn dt,.answers .bad dt{color:var(--ink)}.answers .do{border-width:2px;border-color:var(--ink)}.seqs{
font-size:.8rem;color:var(--soft);white-space:normal;font-variant-numeric:tabular-nums}.warn .seqs,.bad .seqs{
color:var(--ink)}ol.story{list-style:none;margin:0;padding:0}ol.story li{display:grid;
grid-template-columns:5.2rem 1fr;gap:.1rem .8rem;padding:.4rem 0;border-bottom:1px solid var(--faint)}ol.story time{
color:var(--soft);font-size:.86rem;font-variant-numeric:tabular-nums;text-align:right;padding-top:.1rem}ol.story .bad{
color:var(--bad);font-weight:600}figure{margin:0 0 1.4rem}figcaption{font-size:.9rem;margin-bottom:.3rem}svg{
display:block;overflow:visible}svg text{font-size:12px;fill:var(--soft)}svg .name{fill:var(--ink);font-weight:600}
svg .n-blue{fill:var(--blue)}svg .n-green{fill:var(--green)}svg .in{fill:var(--ink);font-size:11.5px}svg .tick{
font-size:11px;font-variant-numeric:tabular-nums}svg .gapword{fill:var(--bad);font-weight:600;font-size:11.5px}.grid{
stroke:var(--faint);stroke-width:1}.turned{stroke:var(--line);stroke-width:1;stroke-dasharray:2 3}.turned.back{
stroke:var(--bad);stroke-dasharray:none}.phase{stroke:var(--bg);stroke-width:1}.phase.blue{fill:var(--blue2)}
.phase.green{fill:var(--green2)}.phase.back{fill:var(--warn2)}.phase.thin{stroke-width:1.5}.phase.thin.blue{
stroke:var(--blue)}.phase.thin.green{stroke:var(--green)}.phase.thin.back{stroke:var(--warn)}.life.blue{
fill:var(--blue2)}.life.green{fill:var(--green2)}.own.blue{fill:var(--blue)}.own.green{fill:var(--green)}
.own.thin.blue,.life.thin.blue{stroke:var(--blue);stroke-width:2}.own.thin.green,.life.thin.green{stroke:var(--green);
stroke-width:2}.gap{fill:var(--bad)}.gap.thin{stroke:var(--bad);stroke-width:2.5}.turn{opacity:.75}.turn.blue{
fill:var(--blue);stroke:none}.turn.green{fill:var(--green);stroke:none}.turn.bad{fill:var(--bad);opacity:1}.turn.thin{
stroke-width:2}.turn.thin.blue{stroke:var(--blue)}.turn.thin.green{stroke:var(--green)}.turn.thin.bad{
stroke:var(--bad)}.came{stroke:var(--soft);stroke-width:1}.cross{stroke:var(--bad);stroke-width:2.6;fill:none}.stone{
fill:var(--ink)}.stone.blue{fill:var(--blue)}.stone.green{fill:var(--green)}.key{display:flex;flex-wrap:wrap;
gap:.2rem 1rem;font-size:.82rem;color:var(--soft);margin:.3rem 0 0;padding:0;list-style:none}.key i{
display:inline-block;width:1.1rem;height:.6rem;border-radius:2px;margin-right:.35rem}.key .b{background:var(--blue)}
.key .g{background:var(--green)}.key .l{background:linear-gradient(90deg,var(--blue2) 50%,var(--green2) 50%)}.key .r{
background:var(--bad)}.panels{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,18rem),1fr));
gap:1.1rem 1.6rem}.panel{margin:0}.panel figcaption{display:flex;justify-content:space-between}.what{font-weight:600}
.most{color:var(--soft);font-size:.84rem}.curve{fill:none;stroke-width:2}.curve.blue{stroke:var(--blue)}.curve.green{
stroke:var(--green)}.dot.blue{fill:var(--blue)}.dot.green{fill:var(--green)}.asked{stroke:var(--soft);
stroke-dasharray:1 3}.fired{stroke:var(--bad);stroke-width:2}p.bad{color:var(--bad);font-weight:600}table{
border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}caption{position:absolute;
width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}th,td{text-align:left;padding:.3rem .7rem .3rem 0;
border-bottom:1px solid var(--faint);vertical-align:top;font-weight:400}thead th{color:var(--soft);font-size:.82rem;
border-bottom-color:var(--line)}tbody th{color:var(--soft)}.num{white-space:nowrap;text-align:right}th.num{
text-align:right}.events tbody th,.events .num{font-size:.82rem}.events .step .type{font-weight:700}.events .type{
color:var(--soft)}.events .step .type{color:var(--ink)}.events .who{white-space:nowrap}.who.blue{color:var(--blue)}
.who.green{color:var(--green)}.pid{color:var(--soft)}.events .proof{background:var(--warn2)}
.events .proof .pid,.events .proof th,.events .proof .type{color:var(--ink)}tr:target{outline:2px solid var(--blue)}
tbody th,.num,.who{white-space:nowrap;overflow-wrap:normal}
.small{width:auto;min-width:min(100%,22rem)}.hash{word-break:break-all}@media (max-width:40rem){.events .pid{
display:none}.events th,.events td{
padding-right:.5rem}ol.story li{grid-template-columns:1fr}ol.story time{text-align:left}}@media (min-width:54rem){
.answers{grid-template-columns:repeat(3,1fr)}.answers .why,.answers .do{grid-column:span 3}h1{font-size:2rem}body{
padding-top:2rem}}
"""
