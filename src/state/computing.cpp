#include "state/computing.hpp"

#include "graph/locality.hpp"
#include "log/record.hpp"
#include "os/parallel.hpp"
#include "state/commit.hpp"

#include <fmt/format.h>
#include <algorithm>

namespace mmsb::state {

using Kind = GraphChange::Kind;

void Computing::run(std::span<const GraphChange> net) {
    graph::Propagation propagation(graph_);
    start(propagation, net);
    made_before_ = staged_.made.pages.size();
    propagation.run([&](graph::Node node) { return is_heavy(node); },
                    [&](graph::Node node, std::uint8_t why) {
                        look_ahead(propagation.peek(), node);
                        return visit(node, why);
                    },
                    [&](std::span<graph::Propagation::Visited> nodes) { visit_all(nodes); });
    if (out_of_order_) put_in_order();
}

void Computing::start(graph::Propagation& propagation, std::span<const GraphChange> net) {
    for (auto& page : staged_.pages) {
        const auto node = graph_.node_of(page.page);
        if (page.deleted || node == graph::no_node) continue;
        const bool derived = graph_.rule_of(node) != nullptr;
        if (derived && (page.size || page.created)) propagation.ask(page.page);
        if (derived || graph_.children_of(node).empty()) continue;
        const auto& now = pages_.of(node);
        if (!now.changed.empty() || now.is_new)
            propagation.has(page.page, Fate::changed);
        else if (now.was_stale && !page.writes.empty())
            propagation.has(page.page, Fate::fresh);
    }
    for (const auto& change : net) {
        if (change.kind == Kind::set_rule) {
            propagation.ask(change.edge.child);
            new_rules_.insert(change.edge.child);
        }
        if (change.kind == Kind::remove_rule) set_free(change.edge.child, propagation);
    }
    for (const auto page : chosen_) propagation.ask(page);
}

// It has no formula any more, and keeps its bytes: they are what they shall be.
void Computing::set_free(PageId page, graph::Propagation& propagation) {
    if (const auto* staged = by_id_.find(page); staged != nullptr && staged->deleted) return;
    auto& now = pages_.of(page);
    if (!now.was_stale) return;
    mark(now, false);
    propagation.has(page, Fate::fresh);
}

bool Computing::is_heavy(graph::Node node) {
    if (!bus_.functions.has_heavy()) [[likely]]
        return false;
    if (mode_ == Propagation::deferred && !staged_.refresh) return false;  // few are computed
    const auto& rule = graph_.rule_of(node);
    if (!rule) return false;
    const auto* function = find_function(rule->function);
    return function != nullptr && !function->one_thread && function->cost->is_heavy();
}

// Nothing: it is not computed in this commit.
const RegisteredFunction* Computing::function_for(graph::Node node, const PageState& page,
                                                  std::uint8_t why) {
    // What is stale and of less priority is another refresh's.
    if (staged_.refresh && page.was_stale && !chosen_.contains(page.page)) return nullptr;
    return is_to_do(why) ? may_compute(node, why) : nullptr;
}

void Computing::look_ahead(graph::Node next, graph::Node node) const noexcept {
    if (next == graph::no_node) {  // in a chain: a child is marked when its parent has changed
        const auto children = graph_.children_of(node);
        if (children.empty()) return;
        next = children.front().node;
    }
    pages_.look_ahead(next);
}

// Another one has done it since it was chosen, and nothing has changed behind that.
bool Computing::is_refreshed(const PageState& page, std::uint8_t why) const noexcept {
    return staged_.refresh && why == graph::asked && !page.was_stale;
}

graph::Fate Computing::visit(graph::Node node, std::uint8_t why) {
    auto& page = pages_.of(node);
    if (graph_.rule_of(node) == nullptr) return visit_bound(page, why);
    if (is_refreshed(page, why)) return Fate::unchanged;
    const auto* function = function_for(node, page, why);
    if (function == nullptr) return leave(page, why);
    prepare(memory_->job, node, page, *function);
    pages_.look_again();
    call(memory_->job);
    const auto fate = settle(memory_->job, why);
    let_go_of_parents(node);
    return fate;
}

// As one behind the other, but for the time when the functions run.
void Computing::visit_all(std::span<graph::Propagation::Visited> nodes) {
    if (memory_->jobs.size() < nodes.size()) memory_->jobs.resize(nodes.size());
    std::vector<Job*> jobs;
    for (std::size_t i = 0; i != nodes.size(); ++i) {
        auto& job = memory_->jobs[i];
        const auto& [node, why, fate] = nodes[i];
        auto& page = pages_.of(node);
        job.function = is_refreshed(page, why) ? nullptr : function_for(node, page, why);
        if (job.function == nullptr) continue;
        prepare(job, node, page, *job.function);
        jobs.push_back(&job);
    }
    pages_.look_again();
    os::in_parallel(jobs.size(), [&](std::size_t i) { call(*jobs[i]); });
    out_of_order_ = true;
    for (std::size_t i = 0; i != nodes.size(); ++i) {
        auto& [node, why, fate] = nodes[i];
        auto& job = memory_->jobs[i];
        if (job.function == nullptr) {
            auto& page = pages_.of(node);
            fate = is_refreshed(page, why) ? Fate::unchanged : leave(page, why);
            continue;
        }
        fate = settle(job, why);
        let_go_of_parents(node);
    }
}

// REQUIRES that nothing which is staged points to its bytes.
void Computing::let_go_when_read(const Job& job) {
    auto& page = *job.page;
    for (const auto& child : graph_.children_of(job.node))
        page.readers += (child.kinds & graph::by_formula) != 0 ? 1 : 0;
    if (page.readers == 0) pages_.let_go(page);
}

// REQUIRES that it has been computed. (By count: pages that are visited together are not visited in
// the order of their positions.)
void Computing::let_go_of_parents(graph::Node node) {
    for (const auto named : graph_.named_by(node)) {
        auto& parent = pages_.of(named);
        if (parent.readers == 0 || parent.read_by == node) continue;  // not, or a second time
        parent.read_by = node;
        if (--parent.readers == 0) pages_.let_go(parent);
    }
}

// Which pages were visited together depends on how long functions took: the record does not.
void Computing::put_in_order() {
    const auto visited = std::span(staged_.made.pages).subspan(made_before_);
    const auto position_of = [this](PageId page) {
        return graph_.order().position(graph_.node_of(page));
    };
    std::ranges::sort(visited, {}, [&](const StagedPage& page) { return position_of(page.page); });
    const auto position = [&](const ReadyPage& page) {
        return position_of(PageId{page.change.was.id});
    };
    std::ranges::sort(staged_.made.ready, {}, position);
    auto at = made_before_;
    for (auto& page : staged_.made.ready) {
        while (at < staged_.made.pages.size() &&
               position_of(staged_.made.pages[at].page) < position(page))
            ++at;
        page.behind = at;
    }
}

// A page that nothing computes, bound by control or compiler edges.
graph::Fate Computing::visit_bound(PageState& page, std::uint8_t why) {
    if ((why & (graph::invalid | graph::spoiled)) == 0 || is_deleted(page)) return Fate::unchanged;
    const bool written = page.staged != nullptr && !page.staged->writes.empty();
    if (written || page.is_stale || page.is_new) return Fate::unchanged;
    mark(page, true);
    return Fate::stale;
}

bool Computing::is_to_do(std::uint8_t why) const {
    return staged_.refresh || (why & (graph::asked | graph::dirty | graph::refreshed)) != 0;
}

const RegisteredFunction* Computing::may_compute(graph::Node node, std::uint8_t why) {
    // A refresh leaves no page stale that it makes so itself.
    const bool asked = (why & graph::asked) != 0 || staged_.refresh.has_value();
    if ((why & graph::invalid) != 0 && !asked) return nullptr;  // a control edge
    const auto* function = find_function(graph_.rule_of(node)->function);
    if (function == nullptr) return nullptr;
    if (mode_ == Propagation::deferred && !asked && !function->accumulates) return nullptr;
    for (const auto parent : graph_.named_by(node))
        if (pages_.of(parent).is_stale) return nullptr;
    return function;
}

const RegisteredFunction* Computing::find_function(std::string_view name) {
    // Most pages have the function of the page before.
    if (name == last_found_.name) return last_found_.function;
    auto found = std::ranges::find(memory_->known, name, &Known::name);
    if (found == memory_->known.end())
        found = memory_->known.insert(memory_->known.end(), {name, bus_.functions.find(name)});
    last_found_ = {name, found->function.get()};
    return last_found_.function;
}

// It is not computed in this commit.
graph::Fate Computing::leave(PageState& page, std::uint8_t why) {
    if (page.is_stale || (why & ~unsigned{graph::refreshed}) == 0) return Fate::unchanged;
    mark(page, true);
    return Fate::stale;
}

void Computing::prepare(Job& job, graph::Node node, PageState& page,
                        const RegisteredFunction& function) {
    job.node = node;
    job.page = &page;
    job.rule = graph_.rule_of(node).get();
    job.function = &function;
    job.parents.clear();
    job.changed.clear();
    job.failure = nullptr;
    // Well before it is used: stores of the copy's bytes would be in the way of reading it back.
    job.out = pages_.room_for(page);
    job.first = page.is_new || page.was_stale || page.is_resized ||
                (!new_rules_.empty() && new_rules_.contains(page.page));
    const auto parents = graph_.named_by(node);
    for (const auto named : parents) {
        auto& parent = pages_.of(named);
        job.parents.push_back(pages_.bytes_of(parent));
        job.changed.push_back(parent.changed);
        // Where sizes change, bytes that did not may belong somewhere else.
        job.first |= parent.is_resized;
    }
    if (job.first)
        for (std::size_t i = 0; i != parents.size(); ++i)
            job.changed[i] = std::span(&pages_.of(parents[i]).whole, 1);
    pages_.copy_bytes(page, job.out);
}

void Computing::call_function(const RegisteredFunction& function, const graph::Call& call) const {
    if (!function.cost->is_sample()) [[likely]]
        return function.call(call);
    const auto began = os::steady_ns();
    function.call(call);
    function.cost->add(os::steady_ns() - began);
    if (function.cost->is_heavy()) bus_.functions.note_heavy();
}

void Computing::call(Job& job) const noexcept {
    try {
        job.is_ours = false;
        const graph::Call call{job.page->page, job.parents, job.changed, job.rule->arguments,
                               job.out};
        const InsideFunction inside(bus_);
        call_function(*job.function, call);
        job.is_ours = true;
        const auto locality = job.function->locality;
        if (job.first || locality == Locality::opaque ||
            !graph::reached_ranges(locality, call, job.reached))
            job.reached.assign(1, job.page->whole);
        pages_.compare(*job.page, job.out, job.reached, job.found);
    } catch (...) {
        job.failure = std::current_exception();
    }
}

graph::Fate Computing::settle(Job& job, std::uint8_t why) {
    if (job.failure) [[unlikely]] {
        if (job.is_ours) std::rethrow_exception(job.failure);
        if (!job.function->stale_on_throw) rethrow(job);
        return leave(*job.page, why);
    }
    ++staged_.made.computed;
    return keep(job);
}

void Computing::rethrow(const Job& job) const {
    const auto page = job.page->page;
    const auto& function = job.rule->function;
    try {
        std::rethrow_exception(job.failure);
    } catch (const WrongContext&) {
        throw;
    } catch (const std::exception& e) {
        throw RecomputeFailed(
            ErrorCode::recompute_failed,
            fmt::format("page {}: {} threw: {}", number(page), function, e.what()),
            {.page = page, .name = function, .found = e.what()});
    } catch (...) {
        throw RecomputeFailed(
            ErrorCode::recompute_failed,
            fmt::format("page {}: {} threw what is no exception", number(page), function),
            {.page = page, .name = function});
    }
}

graph::Fate Computing::keep(Job& job) {
    auto& page = *job.page;
    pages_.keep_changed(page, job.found.ranges);
    const bool differs = !page.changed.empty() || page.is_new;
    const bool written = page.staged != nullptr && !page.staged->writes.empty();
    page.now = page.room = job.out;
    page.has_bytes = true;
    if (!differs && !page.was_stale && !written) {
        // (Who will read it is not counted: to change nothing costs the same with many children.)
        if (graph_.children_of(job.node).empty()) pages_.let_go(page);
        return Fate::unchanged;
    }
    if (is_ready(job)) {
        keep_ready(job);
        let_go_when_read(job);
        return Fate::changed;
    }
    auto& entry = entry_of(page);
    entry.stale = page.is_stale = false;
    entry.computed = writes_of(job);
    if (differs) return Fate::changed;
    return page.was_stale ? Fate::fresh : Fate::unchanged;
}

// Does nothing change of the page but bytes, and is their delta there?
bool Computing::is_ready(const Job& job) const noexcept {
    const auto& page = *job.page;
    return !job.found.delta.empty() && page.staged == nullptr && page.made == PageState::not_made &&
           page.stood && !page.was_stale;
}

void Computing::keep_ready(Job& job) {
    constexpr std::size_t little = 8 * limits::kib;
    const auto& was = job.page->line_then;
    auto& [ranges, delta, changed_bytes, memory, parts, scratch] = job.found;
    auto& entries = staged_.made.entries;
    const auto begin = entries.size();
    auto* from = delta.data();
    if (bus_.logging)
        from = log::write_entry_front({PageId{was.id}, Epoch{was.epoch} + 1, was.size}, delta);
    entries.insert(entries.end(), from, delta.data() + delta.size());
    staged_.made.ready.push_back(
        {{job.page->line, was, entries.size() - delta.size(), delta.size(), changed_bytes},
         begin,
         staged_.made.pages.size()});
    if (memory.size() <= little) return;
    Bytes().swap(memory);
    delta = {};
}

// Of what differs: nobody has to look for it once more. All of it where it is in many pieces.
std::span<const Write> Computing::writes_of(const Job& job) {
    constexpr std::size_t most = 16;
    const auto ranges = job.page->changed;
    auto& memory = staged_.made.memory;
    if (job.page->is_new || ranges.size() > most) {
        const auto all = memory.make<Write>(1);
        all.front() = {0, job.out};
        return all;
    }
    const auto writes = memory.make<Write>(ranges.size());
    std::ranges::transform(ranges, writes.begin(), [&job](const ByteRange& range) {
        return Write{range.offset, job.out.subspan(range.offset, range.size)};
    });
    return writes;
}

// What the record will say of it.
StagedPage& Computing::entry_of(PageState& page) {
    if (page.staged != nullptr) return *page.staged;
    auto& pages = staged_.made.pages;
    if (page.made == PageState::not_made) {
        auto& entry = pages.emplace_back();
        entry.page = page.page;
        entry.line = page.line;
        page.made = static_cast<std::uint32_t>(pages.size() - 1);
    }
    return pages[page.made];
}

void Computing::mark(PageState& page, bool stale) {
    page.is_stale = stale;
    entry_of(page).stale = stale;
}

}  // namespace mmsb::state
