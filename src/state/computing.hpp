/// state/computing: the walk of one commit along the dependency graph: which derived pages it
/// computes, with what bytes, and which become stale.
#pragma once

#include "graph/propagate.hpp"
#include "state/functions.hpp"
#include "state/staged_states.hpp"

#include <exception>
#include <unordered_set>

namespace mmsb::state {

/// Threads: one. Lives for one attempt at a commit; what it makes is in staged.made, and in what
/// is staged of the user's pages.
class Computing {
public:
    using Pages = std::unordered_set<PageId>;
    /// `chosen`: what a refresh shall compute. REQUIRES that all outlive it.
    Computing(Attachment& bus, Staged& staged, const StagedById& by_id, const graph::Graph& graph,
              Propagation mode, const Pages& chosen)
        : bus_(bus),
          staged_(staged),
          by_id_(by_id),
          graph_(graph),
          mode_(mode),
          chosen_(chosen),
          pages_(bus, staged, by_id, graph) {}
    ~Computing() {
        memory_->known.clear();
        // A user's exception goes with the commit that it failed.
        memory_->job.failure = nullptr;
        if (out_of_order_)
            for (auto& job : memory_->jobs) job.failure = nullptr;
    }
    Computing(const Computing&) = delete;
    Computing& operator=(const Computing&) = delete;

    /// REQUIRES the graph as it is with the changes `net`. Throws Moved, RecomputeFailed, and what
    /// reading throws.
    void run(std::span<const GraphChange> net);

private:
    using Fate = graph::Fate;

    // One call of a function.
    struct Job {
        graph::Node node = graph::no_node;
        PageState* page = nullptr;
        const graph::Rule* rule = nullptr;
        const RegisteredFunction* function = nullptr;
        std::span<std::byte> out{};
        std::vector<std::span<const std::byte>> parents{};
        std::vector<std::span<const ByteRange>> changed{};
        bool first = false;                ///< It has no bytes yet that would be right.
        std::vector<ByteRange> reached{};  ///< Of `out`, that could come out otherwise,
        FoundDelta found{};                ///< and that did.
        std::exception_ptr failure{};
        bool is_ours = false;  ///< The function did what it should.
    };
    struct Known {
        std::string_view name{};
        FunctionPointer function{};
    };
    // A thread keeps it for its next propagation.
    struct Memory {
        std::vector<Known> known{};
        Job job{};
        std::vector<Job> jobs{};  // as many as there were at once
    };

    void start(graph::Propagation& propagation, std::span<const GraphChange> net);
    void set_free(PageId page, graph::Propagation& propagation);
    [[nodiscard]] bool is_deleted(const PageState& page) const noexcept {
        return page.staged != nullptr && page.staged->deleted;
    }
    [[nodiscard]] bool is_heavy(graph::Node node);
    inline void look_ahead(graph::Node next, graph::Node node) const noexcept;
    [[nodiscard]] inline bool is_refreshed(const PageState& page, std::uint8_t why) const noexcept;
    // (inline: of what is called in one place, once a page, the compiler makes one function.)
    inline Fate visit(graph::Node node, std::uint8_t why);
    void visit_all(std::span<graph::Propagation::Visited> nodes);
    [[nodiscard]] inline const RegisteredFunction* function_for(graph::Node node,
                                                                const PageState& page,
                                                                std::uint8_t why);
    void put_in_order();
    Fate visit_bound(PageState& page, std::uint8_t why);
    [[nodiscard]] inline bool is_to_do(std::uint8_t why) const;
    [[nodiscard]] inline const RegisteredFunction* may_compute(graph::Node node, std::uint8_t why);
    [[nodiscard]] inline const RegisteredFunction* find_function(std::string_view name);
    Fate leave(PageState& page, std::uint8_t why);
    inline void prepare(Job& job, graph::Node node, PageState& page,
                        const RegisteredFunction& function);
    inline void call(Job& job) const noexcept;
    inline void call_function(const RegisteredFunction& function, const graph::Call& call) const;
    [[nodiscard]] inline Fate settle(Job& job, std::uint8_t why);
    [[noreturn]] void rethrow(const Job& job) const;
    inline Fate keep(Job& job);
    [[nodiscard]] inline bool is_ready(const Job& job) const noexcept;
    inline void keep_ready(Job& job);
    // The room of bytes that the record has already, when all who read them have been computed.
    inline void let_go_when_read(const Job& job);
    inline void let_go_of_parents(graph::Node node);
    [[nodiscard]] std::span<const Write> writes_of(const Job& job);
    StagedPage& entry_of(PageState& page);
    void mark(PageState& page, bool stale);

    Attachment& bus_;
    Staged& staged_;
    const StagedById& by_id_;
    const graph::Graph& graph_;
    Propagation mode_;
    const Pages& chosen_;
    StagedStates pages_;
    Pages new_rules_{};
    // What find_function() found last. (No rule's function has an empty name.)
    struct {
        std::string_view name{};
        const RegisteredFunction* function = nullptr;
    } last_found_{};
    std::size_t made_before_ = 0;  // entries, of pages that are not visited
    bool out_of_order_ = false;    // entries, because pages were visited together
    base::Spare<Memory> memory_{};
};

}  // namespace mmsb::state
