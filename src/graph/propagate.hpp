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

    /// What has happened already. A page without an edge is passed over.
    void has(PageId page, Fate fate);
    /// It is visited whatever becomes of its parents.
    void ask(PageId page);
    /// Calls `visit(node, why)`, why a set of Why, for each page that is reached, until none is.
    template <class Visit>
    void run(const Visit& visit) {
        for (auto node = next(); node != no_node; node = next()) {
            const auto why = std::exchange(memory_->why[node], std::uint8_t{0});
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
            if (!is_heavy(node)) {
                const auto why = std::exchange(memory_->why[node], std::uint8_t{0});
                mark_children(node, visit(node, why));
                continue;
            }
            auto& batch = memory_->batch;
            batch.clear();
            take(node);
            gather(is_heavy);
            visit_all(std::span(batch));
            for (const auto& visited : batch) mark_children(visited.node, visited.fate);
        }
    }

private:
    void mark(Node node, std::uint8_t why) noexcept;
    void mark_children(Node node, Fate fate) noexcept;
    Node next() noexcept;
    void take(Node node);
    void gather(FunctionRef<bool(Node)> is_heavy);
    [[nodiscard]] bool shade(Node node);

    // All zero where nothing is marked: so a thread keeps it for its next propagation.
    struct Memory {
        std::vector<std::uint8_t> why{};                 // by node
        std::vector<std::uint64_t> marked{}, summary{};  // by position; by word of that
        std::vector<Visited> batch{};
        std::vector<std::uint8_t> shaded{};  // by node: something marked leads to it
        std::vector<Node> way{}, shaded_nodes{};
    };

    const Graph& graph_;
    base::Spare<Memory> memory_{};
    std::size_t at_ = 0;               // the summary's word that is scanned
    std::size_t edges_left_ = 16'384;  // that gather() may go along
};

}  // namespace mmsb::graph
