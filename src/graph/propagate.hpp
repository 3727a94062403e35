/// graph/propagate: which pages a change reaches, each once, parents first. Pure: what becomes of a
/// page is decided by who calls (state/derive).
///
/// What is to be visited is a bitmap over the graph's positions, with a summary over its words,
/// scanned upwards: a child's position is behind its parent's, so no heap is needed, and nothing is
/// visited twice. A page's children are marked when it is known what has become of it: where its
/// bytes are the same as before, they are not (cutoff).
/// Threads: one; the graph does not change meanwhile.
#pragma once

#include "base/spare.hpp"
#include "graph/graph.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace mmsb::graph {

/// What has become of a page.
enum class Fate : std::uint8_t {
    unchanged,  ///< Nothing that its children would have to know.
    changed,    ///< Its bytes.
    stale,      ///< It is not up to date from now on, and was before.
    fresh,      ///< It is again; its bytes are the same.
};

/// Why a page is visited: one or several.
enum Why : std::uint8_t {
    asked = 1,      ///< Propagation::ask().
    dirty = 2,      ///< A parent of its formula changed.
    invalid = 4,    ///< A parent changed that it is bound to by a control or compiler edge.
    spoiled = 8,    ///< A parent of either kind has become stale.
    refreshed = 16  ///< A parent of its formula is fresh again.
};

class Propagation {
public:
    explicit Propagation(const Graph& graph);
    ~Propagation();
    Propagation(const Propagation&) = delete;
    Propagation& operator=(const Propagation&) = delete;

    /// What has happened already, before run(). A page without an edge is passed over.
    void has(PageId page, Fate fate);
    /// It is visited whatever becomes of its parents. Before run().
    void ask(PageId page);
    /// Calls `visit(node, why)`, why a set of Why, for each page that is reached, until none is.
    template <class Visit>
    void run(const Visit& visit) {
        for (auto node = next(); node != no_node; node = next()) {
            const auto why = std::exchange(why_[node], std::uint8_t{0});
            mark_children(node, visit(node, why));
        }
    }
    /// What is visited next, as far as is known by now; no_node: nothing. A hint.
    [[nodiscard]] Node peek() const noexcept;
    struct Visited {
        Node node = no_node;
        std::uint8_t why = 0;
        Fate fate = Fate::unchanged;  ///< To be answered.
    };
    /// The same, but pages for which `is_heavy(node)` says so are visited together where none of
    /// them leads to another: `visit_all(std::span<Visited>)`, ordered by position. As long as none
    /// is heavy this costs asking.
    template <class IsHeavy, class Visit, class VisitAll>
    void run(const IsHeavy& is_heavy, const Visit& visit, const VisitAll& visit_all) {
        for (auto node = next(); node != no_node; node = next()) {
            const auto why = std::exchange(why_[node], std::uint8_t{0});
            if (!is_heavy(node)) {
                mark_children(node, visit(node, why));
                continue;
            }
            auto& batch = memory_->batch;
            batch.assign(1, {node, why});
            gather(is_heavy);
            visit_all(std::span(batch));
            for (const auto& visited : batch) mark_children(visited.node, visited.fate);
        }
    }

private:
    static constexpr std::size_t bits = 64;  // of a word

    void mark(Node node, std::uint8_t why) noexcept {
        why_[node] = static_cast<std::uint8_t>(why_[node] | why);
        if (word_ != end_) return put(node);
        if (lone_ == no_node || lone_ == node) {
            lone_ = node;
            return;
        }
        put(std::exchange(lone_, no_node));
        put(node);
    }
    void put(Node node) noexcept {
        const auto position = graph_.order().position(node);
        const auto word = position / bits;
        marked_[word] |= std::uint64_t{1} << (position % bits);
        summary_[word / bits] |= std::uint64_t{1} << (word % bits);
        word_ = std::min<std::size_t>(word_, word);
    }
    void mark_children(Node node, Fate fate) noexcept {
        if (fate == Fate::unchanged) return;
        constexpr auto bound = kind_of(EdgeType::control) | kind_of(EdgeType::compiler);
        const auto [computed_why, bound_why] = whys_by(fate);
        for (const auto& [child, at, kinds] : graph_.children_of(node)) {
            const auto why = ((kinds & by_formula) != 0 ? computed_why : 0U) |
                             ((kinds & bound) != 0 ? bound_why : 0U);
            if (why != 0) mark(child, static_cast<std::uint8_t>(why));
        }
    }
    // Why a child is visited whose formula names the page, and one that is bound to it.
    static constexpr std::pair<unsigned, unsigned> whys_by(Fate fate) noexcept {
        if (fate == Fate::changed) return {dirty, invalid};
        if (fate == Fate::stale) return {spoiled, spoiled};
        return {refreshed, 0};
    }
    Node next() noexcept {
        if (lone_ != no_node) return std::exchange(lone_, no_node);
        if (!find_word()) return no_node;
        const auto first = first_marked();
        marked_[word_] &= marked_[word_] - 1;
        return first;
    }
    // REQUIRES that the word has one.
    [[nodiscard]] Node first_marked() const noexcept {
        const auto bit = static_cast<std::size_t>(std::countr_zero(marked_[word_]));
        return graph_.order().at(static_cast<Position>(word_ * bits + bit));
    }
    // False: nothing is marked (but what is lone).
    [[nodiscard]] bool find_word() noexcept {
        return word_ != end_ && (marked_[word_] != 0 || go_on());
    }
    [[nodiscard]] bool go_on() noexcept;
    void take(Node node);
    void gather(FunctionRef<bool(Node)> is_heavy);
    [[nodiscard]] bool shade(Node node);

    // All zero where nothing is marked: so a thread keeps it for its next propagation.
    struct Memory {
        std::vector<std::uint8_t> why{};                 // by node
        std::vector<std::uint64_t> marked{}, summary{};  // by position; by word, if it has one
        std::vector<Visited> batch{};
        std::vector<std::uint8_t> shaded{};  // by node: something marked leads to it
        std::vector<Node> way{}, shaded_nodes{};
    };

    const Graph& graph_;
    base::Spare<Memory> memory_{};
    // Of it: what is written meanwhile could be the vectors, for all that the compiler knows.
    std::uint8_t* why_ = nullptr;
    std::uint64_t *marked_ = nullptr, *summary_ = nullptr;
    // The word of the bitmap that is scanned: in those before it nothing is marked. end_: in none.
    std::size_t word_ = 0, end_ = 0;
    // What is marked where nothing else is: along a path the bitmap is not needed, and to write a
    // bit and to find it again takes longer than all the rest. REQUIRES word_ == end_.
    Node lone_ = no_node;
    std::size_t edges_left_ = 16'384;  // that gather() may go along
};

}  // namespace mmsb::graph
