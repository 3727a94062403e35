#include "state/unlogged.hpp"

#include "arena/shared_bytes.hpp"
#include "base/copy.hpp"
#include "delta/ranges.hpp"
#include "graph/locality.hpp"
#include "state/commit.hpp"
#include "state/read_slow.hpp"
#include "state/staged_states.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <iterator>
#include <utility>

namespace mmsb::state {

namespace {

// What this thread reads, and what it was reading when it came to that: a function that reads one
// of their pages would wait for itself.
struct Reading {
    const UnloggedGraph* graph;
    const Reading* outer;
};
thread_local const Reading* reading = nullptr;

// Of a function that may write anywhere all bytes are compared: then it writes into a room that all
// pages have in common, which stays in the processor's caches, and what differs is copied to the
// page. Others write to the page, and the room keeps what they can reach as it was, to compare
// with: so do those of pages that no cache has room for twice.
bool is_computed_in_the_room(const UnloggedNode& node) noexcept {
    constexpr std::size_t most = 64 * limits::kib;
    return node.function->locality == Locality::opaque && node.bytes.size() <= most;
}

}  // namespace

UnloggedNode::~UnloggedNode() {
    auto gone = std::move(parents);
    while (!gone.empty()) {
        const auto node = std::move(gone.back());
        gone.pop_back();
        if (node.use_count() != 1) continue;
        std::ranges::move(node->parents, std::back_inserter(gone));
        node->parents.clear();
    }
}

UnloggedPointer UnloggedGraph::source(PageId page, std::uint32_t line) {
    const std::lock_guard lock(sources_mutex_);
    if (sources_.size() >= sweep_at_) {
        std::erase_if(sources_, [](const auto& known) { return known.second.expired(); });
        constexpr std::size_t least = 64;
        sweep_at_ = 2 * sources_.size() + least;
    }
    auto& known = sources_[page];
    auto node = known.lock();
    if (!node) {
        node = std::make_shared<UnloggedNode>();
        node->page = page;
        node->line = line;
        known = node;
    }
    return node;
}

UnloggedPointer UnloggedGraph::make(std::size_t size, std::vector<UnloggedPointer> parents,
                                    FunctionPointer function, std::string name, Bytes arguments) {
    auto node = std::make_shared<UnloggedNode>();
    node->seen.resize(parents.size());
    node->parents = std::move(parents);
    node->function = std::move(function);
    node->name = std::move(name);
    node->arguments = std::move(arguments);
    node->bytes.resize(size);
    node->whole = {0, size};
    return node;
}

// One go from a page to all of its sources and back. Throws Moved where they are not as of one
// sequence: what has been computed till then is right for what it was computed from, and is looked
// at again.
class UnloggedGraph::Walk {
public:
    // `frozen`: the sources have been read together, and are not looked at.
    Walk(Attachment& bus, UnloggedGraph& graph, bool frozen)
        : bus_(bus),
          graph_(graph),
          frozen_(frozen),
          as_of_(logged()),
          looked_at_(as_of_),
          number_(++graph.walks_) {
        graph_.way_.clear();
        graph_.read_.clear();
    }

    [[nodiscard]] std::uint64_t copied() const { return copied_; }  ///< Bytes of sources.

    void run(UnloggedNode& target) {
        auto& way = graph_.way_;
        way.emplace_back(&target, 0);
        while (!way.empty()) {
            auto& [node, next] = way.back();
            if (next == 0 && is_known(*node)) {
                way.pop_back();
            } else if (next < node->parents.size()) {
                way.emplace_back(node->parents[next++].get(), 0);
            } else {
                node->parents.empty() ? look_at_source(*node) : look_at_computed(*node);
                node->walk = number_;
                node->as_of = frozen_ ? 0 : as_of_;
                way.pop_back();
            }
        }
        look_again();
    }

    // `spare` is what the page is now.
    void take(UnloggedNode& node, const arena::LineCopy& info) {
        copied_ += node.spare.size();
        if (find_differing(node, node.bytes, node.spare, std::span(&node.whole, 1))) {
            std::swap(node.bytes, node.spare);
            if (node.whole.size != node.bytes.size()) {
                node.whole = {0, node.bytes.size()};
                node.resized = node.version;
            }
        }
        // Last: where memory ran out it is read once more.
        node.lsn = info.lsn;
        node.stale = info.stale();
    }

private:
    [[nodiscard]] Lsn logged() const { return bus_.words().logged.load(std::memory_order_acquire); }

    bool is_known(const UnloggedNode& node) {
        if (node.walk == number_) return true;
        if (frozen_ || node.as_of != as_of_ || node.walk < graph_.first_walk_) return false;
        passed_over_ = true;
        return true;
    }

    void look_at_source(UnloggedNode& node) {
        if (frozen_) return;
        graph_.read_.push_back(&node);
        const auto& line = find_line(bus_, node.page, node.line);
        if (node.lsn != 0 && line.lsn.load(std::memory_order_acquire) == node.lsn) return;
        arena::LineCopy info;
        if (!copy_line(bus_, node.page, line, info)) return take_moving(node);
        const auto from = bus_.arena->bytes(info.offset, info.size);
        if (!from) return take_moving(node);
        node.spare.resize(from->size());
        arena::copy_from_shared(node.spare.data(), from->data(), from->size());
        arena::read_fence();
        bus_.require_memory();
        if (line.lsn.load(std::memory_order_acquire) != info.lsn) return take_moving(node);
        take(node, info);
    }

    // Its writer is busy, stopped or dead.
    void take_moving(UnloggedNode& node) {
        Wanted wanted{.page = node.page, .line = node.line};
        const auto memory = read_many(bus_, std::span(&wanted, 1));
        if (!wanted.found) throw_not_found(bus_, node.page);
        node.spare.assign(wanted.bytes.begin(), wanted.bytes.end());
        node.line = wanted.line;
        take(node, wanted.info);
    }

    // The page was `before` and is `now`, and differs nowhere but `within`; what of it does (or is
    // to be told, `all`) is in `changed`. False: nothing does.
    bool find_differing(UnloggedNode& node, std::span<const std::byte> before,
                        std::span<const std::byte> now, std::span<const ByteRange> within,
                        bool all = false) {
        auto& differs = graph_.differs_;
        if (node.version == 0 || all)
            differs.assign(1, {0, now.size()});
        else if (delta::changed_ranges(before, now, within, differs); differs.empty())
            return false;
        node.changed.swap(differs);
        ++node.version;
        return true;
    }

    void look_at_computed(UnloggedNode& node) {
        bool moved = node.version == 0;
        node.stale = false;
        for (std::size_t i = 0; i != node.parents.size(); ++i) {
            moved |= node.parents[i]->version != node.seen[i];
            node.stale |= node.parents[i]->stale;
        }
        if (moved) compute(node);
    }

    void compute(UnloggedNode& node) {
        look_again();
        graph_.parents_.clear();
        graph_.changed_.clear();
        // Where sizes change, bytes that did not may belong somewhere else.
        bool first = node.version == 0 || node.is_spoiled;
        for (std::size_t i = 0; i != node.parents.size(); ++i)
            first |= node.seen[i] < node.parents[i]->resized;
        for (std::size_t i = 0; i != node.parents.size(); ++i) {
            const auto& parent = *node.parents[i];
            graph_.parents_.emplace_back(parent.bytes);
            // What it has missed more than one change of, it sees as changed everywhere.
            const bool all = first || node.seen[i] + 1 < parent.version;
            const bool none = node.seen[i] == parent.version;
            graph_.changed_.push_back(all    ? std::span(&parent.whole, 1)
                                      : none ? std::span<const ByteRange>()
                                             : std::span<const ByteRange>(parent.changed));
        }
        if (is_computed_in_the_room(node))
            compute_in_the_room(node);
        else
            compute_in_place(node, first);
        // Not before: where memory ran out it is computed once more.
        for (std::size_t i = 0; i != node.parents.size(); ++i)
            node.seen[i] = node.parents[i]->version;
    }

    std::span<std::byte> room(std::size_t size) {
        if (graph_.room_.size() < size) graph_.room_ = Bytes(size);
        return std::span(graph_.room_).first(size);
    }

    static void copy_stretches(std::span<const ByteRange> stretches,
                               std::span<const std::byte> from, std::span<std::byte> to) noexcept {
        for (const auto& [offset, size] : stretches)
            base::copy(from.subspan(offset, size), to.data() + offset);
    }

    void compute_in_the_room(UnloggedNode& node) {
        const auto out = room(node.bytes.size());
        base::copy(node.bytes, out.data());
        call_function(node, call_for(node, out));
        if (find_differing(node, node.bytes, out, std::span(&node.whole, 1)))
            copy_stretches(node.changed, out, node.bytes);
    }

    // Where that fails nobody knows which bytes of the page are right: next time it is made from
    // zeros, as at first, and is told as changed everywhere.
    void compute_in_place(UnloggedNode& node, bool first) {
        const bool was_spoiled = std::exchange(node.is_spoiled, true);
        if (was_spoiled) std::ranges::fill(node.bytes, std::byte{0});
        const auto call = call_for(node, node.bytes);
        auto& reached = graph_.reached_;
        if (first || !graph::reached_ranges(node.function->locality, call, reached))
            reached.assign(1, node.whole);
        const auto before = room(node.bytes.size());
        copy_stretches(reached, node.bytes, before);
        call_function(node, call);
        find_differing(node, before, node.bytes, reached, was_spoiled);
        node.is_spoiled = false;
    }

    graph::Call call_for(const UnloggedNode& node, std::span<std::byte> out) const noexcept {
        return {PageId::none, graph_.parents_, graph_.changed_, node.arguments, out};
    }

    void call_function(const UnloggedNode& node, const graph::Call& call) {
        try {
            const InsideFunction inside(bus_);
            node.function->call(call);
        } catch (const WrongContext&) {
            throw;
        } catch (const std::exception& e) {
            throw_failed(node, e.what());
        } catch (...) {
            throw_failed(node, "what is no exception");
        }
    }

    [[noreturn]] static void throw_failed(const UnloggedNode& node, const std::string& what) {
        throw RecomputeFailed(ErrorCode::recompute_failed,
                              fmt::format("an unlogged page: {} threw: {}", node.name, what),
                              {.name = node.name, .found = what});
    }

    // Is all that was read as of one sequence?
    void look_again() {
        if (frozen_) return;
        const auto now = logged();
        if (now != as_of_ && passed_over_) throw Moved{};  // not all sources are among those read
        if (now == looked_at_) return;
        arena::read_fence();
        for (const auto* node : graph_.read_)
            if (bus_.arena->line(node->line)->lsn.load(std::memory_order_acquire) != node->lsn)
                throw Moved{};
        looked_at_ = now;
    }

    Attachment& bus_;
    UnloggedGraph& graph_;
    bool frozen_;
    Lsn as_of_;
    Lsn looked_at_;  // `logged` when all that had been read was known to go together
    std::uint64_t number_;
    std::uint64_t copied_ = 0;
    bool passed_over_ = false;
};

namespace {

std::vector<UnloggedNode*> sources_of(UnloggedNode& node) {
    std::vector<UnloggedNode*> way{&node}, found;
    std::unordered_map<const UnloggedNode*, bool> seen;
    while (!way.empty()) {
        auto* const at = way.back();
        way.pop_back();
        if (!seen.emplace(at, true).second) continue;
        if (at->parents.empty()) found.push_back(at);
        for (const auto& parent : at->parents) way.push_back(parent.get());
    }
    return found;
}

}  // namespace

void UnloggedGraph::clear() {
    const std::scoped_lock lock(mutex_, sources_mutex_);
    sources_.clear();
    sweep_at_ = 0;
    of_ = nullptr;
    Bytes().swap(room_);
}

// A viewer may find shared memory that was not there: what was read says nothing of that.
void UnloggedGraph::go_over_to(const Attachment& bus) {
    if (of_ == &bus) return;
    of_ = &bus;
    first_walk_ = walks_ + 1;
    const std::lock_guard lock(sources_mutex_);
    for (auto& [page, known] : sources_) {
        if (const auto node = known.lock()) {
            node->line = unknown_line;
            node->lsn = 0;
        }
    }
}

void UnloggedGraph::read(Attachment& bus, UnloggedNode& node,
                         FunctionRef<void(const UnloggedNode&)> show) {
    for (const auto* at = reading; at != nullptr; at = at->outer)
        if (at->graph == this)
            throw WrongContext(ErrorCode::wrong_context,
                               "an unlogged page is read by a function that computes one: make it "
                               "a parent of that page",
                               {.expected = "no function of this graph running", .found = "one"});
    const std::lock_guard lock(mutex_);
    const Reading here{this, reading};
    reading = &here;
    try {
        go_over_to(bus);
        read_now(bus, node, show);
    } catch (...) {
        reading = here.outer;
        throw;
    }
    reading = here.outer;
}

void UnloggedGraph::read_now(Attachment& bus, UnloggedNode& node,
                             FunctionRef<void(const UnloggedNode&)> show) {
    // Then all sources are read together, so that it ends; sooner where half as many bytes
    // have been copied in vain as that copies.
    constexpr int most_walks = 8;
    std::vector<UnloggedNode*> sources;
    std::uint64_t all = 0, in_vain = 0;
    for (int i = 0; i != most_walks && (sources.empty() || in_vain < all / 2); ++i) {
        Walk walk(bus, *this, false);
        try {
            walk.run(node);
            return show(node);
        } catch (const Moved&) {
            in_vain += walk.copied();
        }
        if (!sources.empty() || (in_vain <= large_size && i + 1 != most_walks)) continue;
        sources = sources_of(node);
        for (const auto* source : sources) all += source->bytes.size();
    }
    std::vector<Wanted> wanted;
    wanted.reserve(sources.size());
    for (const auto* source : sources)
        wanted.push_back({.page = source->page, .line = source->line});
    const auto memory = read_many(bus, wanted);
    Walk walk(bus, *this, true);
    for (std::size_t i = 0; i != sources.size(); ++i) {
        if (!wanted[i].found) throw_not_found(bus, sources[i]->page);
        sources[i]->spare.assign(wanted[i].bytes.begin(), wanted[i].bytes.end());
        walk.take(*sources[i], wanted[i].info);
    }
    walk.run(node);
    show(node);
}

}  // namespace mmsb::state
