#include "command.hpp"
#include "exit_code.hpp"
#include "parse.hpp"

#include <map>
#include <set>

namespace mmsb::tool {
namespace {

constexpr CommandText graph_text{
    .name = "graph",
    .summary = "Which page depends on which.",
    .usage = "[OPTIONS] BUS",
    .description =
        "Shows the dependency graph as a tree: below each page those that depend on it, with the\n"
        "function that computes them, or the type of the edge. A page that several others lead\n"
        "to is shown in full once, and with ... elsewhere. What is stale says so.",
    .example =
        "$ mmsb graph demo.bus\n"
        "temps  64 bytes\n"
        "  mean  by demo.mean/1\n"
        "    alarm  by mmsb.threshold/1  stale\n"
        "  report  compiler",
    .json =
        "  pages: [{id, name, size, epoch, derived, stale, function (null where nothing\n"
        "  computes it), arguments (hexadecimal), parents: [id]}], in topological order;\n"
        "  edges: [{parent, child, type}], those of formulas as data.",
};

constexpr CommandText why_text{
    .name = "why",
    .summary = "Which commit made a page what it is, and by which way.",
    .usage = "[OPTIONS] BUS PAGE",
    .description =
        "Goes from the last change of a page to the one that caused it: of what it is computed\n"
        "from, to the parent that changed last, and so on. One line a step. Reads the kept log.",
    .example =
        "$ mmsb why demo.bus alarm\n"
        "alarm  by mmsb.threshold/1  sequence 6  2026-11-28 12:00:00  plant[4711]  1 byte\n"
        "  mean  by demo.mean/1  sequence 6  2026-11-28 12:00:00  plant[4711]  2 bytes\n"
        "    temps  sequence 6  2026-11-28 12:00:00  plant[4711]  2 bytes",
    .json =
        "  causes: [{page, name, function (null at the root), sequence, epoch, time, source,\n"
        "  process, tag, label, changed_bytes}], from the page to the root.",
};

std::string hex_of(std::span<const std::byte> bytes) {
    std::string text;
    for (const auto b : bytes) text += fmt::format("{:02x}", std::to_integer<unsigned>(b));
    return text;
}

/// What is to be shown, as of one moment.
struct Shown {
    std::map<PageId, PageInfo> infos{};
    std::map<PageId, std::vector<Edge>> children{};
    std::map<PageId, Formula> formulas{};
    std::vector<PageId> order{};
    std::set<PageId> below{};  ///< Have a parent.

    explicit Shown(const State& bus) {
        const auto graph = bus.graph();
        for (PageInfo& info : bus.snapshot().pages()) infos.emplace(info.id, std::move(info));
        for (const PageId page : graph.topological_order()) {
            if (!infos.contains(page)) continue;  // made since
            order.push_back(page);
            for (const Edge& edge : graph.children(page)) {
                if (!infos.contains(edge.child)) continue;
                children[page].push_back(edge);
                below.insert(edge.child);
            }
            if (auto formula = graph.formula(page)) formulas.emplace(page, *std::move(formula));
        }
    }
};

class Tree {
public:
    Tree(const Shown& shown, Output& out) : shown_(shown), out_(out) {}
    void print() {
        for (const PageId page : shown_.order)
            if (!shown_.below.contains(page))
                show(page, 0, "  " + counted(shown_.infos.at(page).size, "byte"));
    }

private:
    // Without recursion: a chain may be as long as there are pages.
    void show(PageId root, std::size_t root_depth, const std::string& root_text) {
        struct Line {
            PageId page;
            std::size_t depth;
            std::string text;
        };
        std::vector<Line> next{{root, root_depth, root_text}};
        while (!next.empty()) {
            const auto [page, depth, text] = std::move(next.back());
            next.pop_back();
            const auto& info = shown_.infos.at(page);
            const auto children = shown_.children.find(page);
            const bool leaf = children == shown_.children.end();
            const bool again = !seen_.insert(page).second && !leaf;
            out_.write(std::string(2 * depth, ' ') + out_.paint(Style::strong, title(info)) + text +
                       (info.stale ? out_.paint(Style::changed, "  stale") : "") +
                       (again ? "  ..." : "") + '\n');
            if (leaf || again) continue;
            for (auto edge = children->second.rbegin(); edge != children->second.rend(); ++edge)
                next.push_back({edge->child, depth + 1, "  " + what(*edge)});
        }
    }
    [[nodiscard]] std::string what(const Edge& edge) const {
        const auto formula = shown_.formulas.find(edge.child);
        if (edge.type == EdgeType::data && formula != shown_.formulas.end())
            return "by " + printable(formula->second.function);
        return std::string(to_string(edge.type));
    }

    const Shown& shown_;
    Output& out_;
    std::set<PageId> seen_{};
};

std::string quoted(const std::string& text) {
    std::string out = "\"";
    for (const char c : printable(text)) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out + '"';
}

void print_dot(const Shown& shown, Output& out) {
    out.write("digraph bus {\n");
    for (const PageId page : shown.order) {
        const auto& info = shown.infos.at(page);
        out.print("  {} [label={}{}];\n", number(page), quoted(title(info)),
                  info.stale ? ", style=dashed" : "");
    }
    for (const PageId page : shown.order) {
        const auto children = shown.children.find(page);
        if (children == shown.children.end()) continue;
        for (const Edge& edge : children->second) {
            const auto formula = shown.formulas.find(edge.child);
            const bool computed = edge.type == EdgeType::data && formula != shown.formulas.end();
            out.print(
                "  {} -> {} [label={}{}];\n", number(edge.parent), number(edge.child),
                quoted(computed ? formula->second.function : std::string(to_string(edge.type))),
                computed ? "" : ", style=dotted");
        }
    }
    out.write("}\n");
}

Json graph_json(const State& bus, const Shown& shown) {
    Json object{{"pages", Json::array()}, {"edges", Json::array()}};
    for (const PageId page : shown.order) {
        const auto& info = shown.infos.at(page);
        Json one = page_json(info);
        one["derived"] = info.derived;
        one["stale"] = info.stale;
        one["function"] = nullptr;
        one["parents"] = Json::array();
        if (const auto formula = shown.formulas.find(page); formula != shown.formulas.end()) {
            one["function"] = formula->second.function;
            one["arguments"] = hex_of(formula->second.arguments);
            for (const Edge& edge : bus.graph().parents(page))
                if (edge.type == EdgeType::data) one["parents"].push_back(number(edge.parent));
        }
        object["pages"].push_back(std::move(one));
        if (const auto children = shown.children.find(page); children != shown.children.end())
            for (const Edge& edge : children->second)
                object["edges"].push_back({{"parent", number(edge.parent)},
                                           {"child", number(edge.child)},
                                           {"type", to_string(edge.type)}});
    }
    return object;
}

struct GraphOptions {
    std::string bus{};
    bool dot = false;
};

int show_graph(const GraphOptions& options, Context& context) {
    const State bus = open_to_read(options.bus);
    const Shown shown(bus);
    if (context.json)
        context.out.json(graph_json(bus, shown));
    else if (options.dot)
        print_dot(shown, context.out);
    else
        Tree(shown, context.out).print();
    return exit_ok;
}

struct WhyOptions {
    std::string bus{}, page{};
    Sequence at = Sequence::newest;
};

int show_why(const WhyOptions& options, Context& context) {
    const State bus = open_to_read(options.bus);
    const PageInfo page = page_in(view_at(bus, options.at), options.page);
    const auto causes = bus.graph().why(page.id, options.at);
    if (context.json) {
        Json object{{"causes", Json::array()}};
        for (const Cause& cause : causes) {
            const auto& [sequence, epoch, time, source, label, tag, process, bytes] = cause.change;
            const auto& function = cause.formula.function;
            object["causes"].push_back(
                {{"page", number(cause.page)},
                 {"name", cause.name.empty() ? Json(nullptr) : Json(cause.name)},
                 {"function", function.empty() ? Json(nullptr) : Json(function)},
                 {"sequence", number(sequence)},
                 {"epoch", number(epoch)},
                 {"time", to_string(time)},
                 {"source", source},
                 {"process", process},
                 {"tag", tag},
                 {"label", label},
                 {"changed_bytes", bytes}});
        }
        context.out.json(object);
        return exit_ok;
    }
    std::size_t depth = 0;
    for (const Cause& cause : causes) {
        const auto& change = cause.change;
        PageInfo info;
        info.id = cause.page;
        info.name = cause.name;
        std::string line =
            std::string(2 * depth++, ' ') + context.out.paint(Style::strong, title(info));
        if (!cause.formula.function.empty()) line += "  by " + printable(cause.formula.function);
        line += fmt::format("  sequence {}  {}  {}[{}]  {}", number(change.sequence),
                            time_text(change.time), printable(change.source), change.process,
                            counted(change.changed_bytes, "byte"));
        if (change.tag != 0) line += fmt::format("  tag {}", change.tag);
        if (!change.label.empty()) line += fmt::format("  \"{}\"", printable(change.label));
        context.out.write(line + '\n');
    }
    if (causes.empty() && page.epoch == Epoch::zero)
        context.out.print("{} has not changed since it was made\n", title(page));
    else if (causes.empty())
        context.out.print(
            "the last change of {} is no longer kept: the past is, from sequence {} on\n",
            title(page), number(bus.oldest()));
    return exit_ok;
}

}  // namespace

void add_graph(Program& program) {
    auto graph = std::make_shared<GraphOptions>();
    Command shown =
        program.add(graph_text, [graph](Context& context) { return show_graph(*graph, context); });
    shown.bus(graph->bus);
    shown.flag("--dot", graph->dot, "In Graphviz's language.");
    auto why = std::make_shared<WhyOptions>();
    Command reason =
        program.add(why_text, [why](Context& context) { return show_why(*why, context); });
    reason.bus(why->bus);
    reason.argument("PAGE", why->page, "Name, or number.");
    reason.option(
        "--at", "SEQ", [why](const std::string& t) { why->at = parse_sequence(t); },
        "As of that sequence; else now.");
}

}  // namespace mmsb::tool
