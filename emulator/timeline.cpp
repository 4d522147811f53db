#include "emulator/timeline.h"

#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "emulator/op.h"
#include "emulator/runtime.h"
#include "emulator/settings.h"

namespace emulator {
namespace {

using Json = nlohmann::json;

// In the order of the page's colours.
enum class Paint { product, attention, other_operator, copy, collective };

Paint paint_of(TaskKind kind, const std::string& name) {
  if (kind == TaskKind::copy) return Paint::copy;
  if (kind == TaskKind::collective) return Paint::collective;
  if (name.find("Attention") != std::string::npos) return Paint::attention;
  for (const char* part : {"Mm", "mm", "Matmul", "MatMul"}) {
    if (name.find(part) != std::string::npos) return Paint::product;
  }
  return Paint::other_operator;
}

// Numbers for names, so that each is written once.
class Names {
 public:
  size_t number(const std::string& name) {
    const auto [found, is_new] = numbers_.try_emplace(name, numbers_.size());
    if (is_new) list_.push_back(name);
    return found->second;
  }
  const Json& list() const { return list_; }

 private:
  std::map<std::string, size_t> numbers_;
  Json list_ = Json::array();
};

double microseconds(Simulated time) { return std::round(time.count() * 1e9) / 1e3; }

// [paint, name, stream, begin, length], times in µs.
Json bars_json(const Ledger::Record& record, Names& names) {
  Json bars = Json::array();
  for (const Ledger::Bar& bar : record.bars) {
    bars.push_back(Json::array({static_cast<int>(paint_of(bar.kind, *bar.name)),
                                names.number(*bar.name),
                                bar.stream,
                                microseconds(bar.time.begin),
                                microseconds(bar.time.end - bar.time.begin)}));
  }
  return bars;
}

Json timeline_json() {
  Names names;
  Json cards = Json::array();
  for (const auto& card : runtime().cards) {
    card->ledger.read([&](const Ledger::Record& record) {
      if (record.bars.empty()) return;
      cards.push_back({{"card", card->id},
                       {"dropped", record.dropped_bars},
                       {"bars", bars_json(record, names)}});
    });
  }
  return {{"soc", soc_name()}, {"names", names.list()}, {"cards", std::move(cards)}};
}

// What stands before and after the data.
constexpr const char* kHead = R"(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Cards over simulated time</title><style>
body{font:14px sans-serif;margin:1em;color:#222}canvas{width:100%;border:1px solid #ccc;display:block}
i{display:inline-block;width:1em;height:1em;margin:0 .3em 0 1em;vertical-align:-2px}p{margin:.4em 0}
</style></head><body><p><b id="title"></b> <span id="keys"></span></p><canvas id="view"></canvas>
<p id="tip">Wheel: zoom. Drag: move. Double click: all.</p><script>
const data=)";

constexpr const char* kTail = R"(;
const paints=[["products","#2b6cb0"],["attention","#805ad5"],["other operators","#38a169"],
  ["copies","#dd6b20"],["collectives","#e53e3e"]];
const view=document.getElementById("view"),tip=document.getElementById("tip"),row=36,left=60;
document.getElementById("title").textContent=data.soc+", simulated time";
document.getElementById("keys").innerHTML=paints.map(p=>`<i style="background:${p[1]}"></i>${p[0]}`).join("");
let first=Infinity,last=-Infinity;
for(const c of data.cards)for(const b of c.bars){first=Math.min(first,b[3]);last=Math.max(last,b[3]+b[4]);}
if(first>last){first=0;last=1;}
let from=first,to=last;
const label=t=>t>=1e6?(t/1e6).toFixed(6)+" s":t>=1e3?(t/1e3).toFixed(4)+" ms":t.toFixed(2)+" µs";
function draw(){
  const ratio=devicePixelRatio||1,width=view.clientWidth,height=data.cards.length*row+24;
  view.style.height=height+"px";view.width=width*ratio;view.height=height*ratio;
  const g=view.getContext("2d");g.scale(ratio,ratio);g.font="12px sans-serif";
  const scale=(width-left)/(to-from);
  data.cards.forEach((c,i)=>{
    const y=i*row+4;g.fillStyle="#222";g.fillText("card "+c.card,6,y+18);
    for(const b of c.bars){
      const x=left+(b[3]-from)*scale,w=b[4]*scale;
      if(x+w<left||x>width)continue;
      g.fillStyle=paints[b[0]][1];const at=Math.max(x,left);g.fillRect(at,y,Math.max(x+w-at,.4),row-8);
    }
  });
  g.fillStyle="#222";
  for(let k=0;k<=6;k++){const x=left+(width-left)*k/6;g.textAlign=k==6?"right":k?"center":"left";
    g.fillText(label(from+(to-from)*k/6),x,height-6);}
}
const time=e=>from+(e.offsetX-left)/(view.clientWidth-left)*(to-from);
view.onwheel=e=>{e.preventDefault();const t=time(e),f=Math.exp(e.deltaY*.001);from=t-(t-from)*f;to=t+(to-t)*f;draw();};
view.ondblclick=()=>{from=first;to=last;draw();};
let held=null;
view.onmousedown=e=>{held=time(e);};onmouseup=()=>{held=null;};
view.onmousemove=e=>{
  const t=time(e);
  if(held!==null){from+=held-t;to+=held-t;draw();return;}
  const c=data.cards[Math.floor(e.offsetY/row)];
  const b=c&&c.bars.findLast(b=>b[3]<=t&&t<=b[3]+b[4]);
  if(b)tip.textContent=`card ${c.card}, stream ${b[2]}: ${data.names[b[1]]}, ${label(b[4])} from ${label(b[3])}`;
};
const lost=data.cards.filter(c=>c.dropped).map(c=>`card ${c.card}: ${c.dropped}`).join(", ");
if(lost)tip.textContent+=" Earlier tasks left out: "+lost+".";
onresize=draw;draw();
</script></body></html>
)";

}  // namespace

void write_timeline(const std::string& path) {
  std::ofstream file(path);
  file << kHead << timeline_json().dump() << kTail;
  if (!file.flush())
    fmt::print(stderr, "[emulator] the timeline could not be written to {}\n", path);
}

}  // namespace emulator
