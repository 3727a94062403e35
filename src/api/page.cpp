#include "api/bus.hpp"
#include "base/copy.hpp"
#include "base/spare.hpp"
#include "state/commit.hpp"
#include "state/read.hpp"
#include "state/turn.hpp"

#include <mmsb/page.hpp>

#include <fmt/format.h>
#include <new>
#include <ostream>

namespace mmsb {

using detail::Bus;

namespace {

// A change of one page, for calls that are a commit of their own. It takes the memory of the
// thread's last one, so that an update allocates nothing.
class OnePage {
public:
    explicit OnePage(const Page& page) : bus_(Bus::get(Bus::handle_of(page))) {
        staged_->pages.resize(1);
        auto& change = staged_->pages.front();
        change.page = page.id();
        change.line = Bus::handle_of(page).line;
    }
    ~OnePage() {
        staged_->pages.front().clear();
        staged_->clear_made();
    }
    OnePage(const OnePage&) = delete;
    OnePage& operator=(const OnePage&) = delete;

    [[nodiscard]] state::StagedPage* operator->() noexcept { return &staged_->pages.front(); }
    /// All that is written.
    void write(std::uint64_t offset, std::span<const std::byte> bytes) noexcept {
        write_ = {offset, bytes};
        staged_->pages.front().writes = {&write_, 1};
    }
    [[nodiscard]] state::Staged& staged() noexcept { return *staged_; }
    Committed commit(const CommitOptions& options) {
        staged_->pages.front().expected = options.expected;
        return bus_.commit(*staged_, options);
    }

private:
    Bus& bus_;
    base::Spare<state::Staged> staged_{};
    state::Write write_{};
};

// A private copy for an edit, aligned as pages are, so that it can be seen as a T.
class EditCopy {
public:
    explicit EditCopy(std::span<const std::byte> bytes) : size_(bytes.size()) {
        data_ = static_cast<std::byte*>(::operator new(size_ + 1, alignment));
        base::copy(bytes, data_);
    }
    ~EditCopy() { ::operator delete(data_, alignment); }
    EditCopy(const EditCopy&) = delete;
    EditCopy& operator=(const EditCopy&) = delete;
    [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {data_, size_}; }

private:
    static constexpr auto alignment = std::align_val_t{64};
    std::byte* data_;
    std::size_t size_;
};

constexpr std::size_t most_writes = 4096;  // of a delta; beyond it is applied to a copy

}  // namespace

void detail::throw_resized(PageId page, std::size_t expected, std::size_t found) {
    state::throw_other_size(page, found, expected);
}

std::ostream& operator<<(std::ostream& out, const Change& change) {
    return out << fmt::format("sequence {} epoch {} {} {}[{}] {} bytes{}{}",
                              number(change.sequence), number(change.epoch), to_string(change.time),
                              change.source, change.process, change.changed_bytes,
                              change.tag == 0 ? "" : fmt::format(" tag {}", change.tag),
                              change.label.empty() ? "" : " \"" + change.label + "\"");
}

PageInfo Page::info() const {
    auto line = bus_.line;
    return detail::info_of(Bus::get(bus_).at(), id_, line);
}

std::size_t Page::size() const {
    auto line = bus_.line;
    return static_cast<std::size_t>(state::read_line(Bus::get(bus_).at(), id_, line).size);
}

Epoch Page::epoch() const {
    auto line = bus_.line;
    return Epoch{state::read_line(Bus::get(bus_).at(), id_, line).epoch};
}

Bytes Page::read() const { return read_versioned().value; }

Versioned<Bytes> Page::read_versioned() const {
    auto line = bus_.line;
    auto& at = Bus::get(bus_).at();
    state::prefetch(at, bus_.hint);
    return state::read_page(at, id_, line);
}

Version Page::read_into(std::span<std::byte> out, std::size_t offset) const {
    auto line = bus_.line;
    return state::read_into(Bus::get(bus_).at(), id_, line, bus_.hint, out, offset);
}

bool Page::peek_bytes(FunctionRef<void(std::span<const std::byte>)> fn) const {
    auto line = bus_.line;
    return state::peek(Bus::get(bus_).at(), id_, line, bus_.hint, fn);
}

Committed Page::update(std::span<const std::byte> bytes, const CommitOptions& options) const {
    auto line = bus_.line;
    auto& bus = Bus::get(bus_);
    auto& at = bus.at();
    state::prefetch(at, bus_.hint);
    const state::BytesOfPage write{.page = id_, .line = line, .bytes = bytes, .whole = true};
    if (const auto committed = bus.commit_bytes(write, options)) return *committed;
    const auto now = state::read_line(at, id_, line);
    if (const auto hint = state::hint_of(now.offset, now.size); hint != bus_.hint)
        state::prefetch(at, hint);  // compared as soon as the lock is ours
    const auto size = now.size;
    if (bytes.size() != size) state::throw_other_size(id_, size, bytes.size());
    OnePage change(*this);
    change.write(0, bytes);
    change->size_then = size;
    return change.commit(options);
}

Committed Page::update_with(FunctionRef<void(std::span<std::byte>)> edit,
                            const CommitOptions& options) const {
    auto& bus = Bus::get(bus_);
    bus.refuse_writing();
    auto line = bus_.line;
    state::Turn turn(bus.at());
    for (int attempt = 1;; ++attempt) {
        const auto before = state::read_page(bus.at(), id_, line);
        if (options.expected && before.version.epoch != *options.expected)
            throw Conflict(ErrorCode::conflict,
                           fmt::format("page {} has another epoch", number(id_)),
                           {.page = id_,
                            .expected = fmt::format("epoch {}", number(*options.expected)),
                            .found = fmt::format("{}", number(before.version.epoch))});
        const EditCopy copy(before.value);
        {
            const state::InsideFunction inside(bus.at());
            edit(copy.bytes());
        }
        // Only what the edit changed is written; it was computed from the whole page, so the page
        // must still be what it was.
        OnePage change(*this);
        change.write(0, copy.bytes());
        change->expected = before.version.epoch;
        const auto result = state::commit(bus.at(), bus.handle, change.staged(), options);
        if (result.status != CommitStatus::conflict) return result.committed;
        if (attempt >= options.attempts)
            throw Conflict(
                ErrorCode::conflict,
                fmt::format("page {} changed during each of {} edits", number(id_), attempt),
                {.page = id_,
                 .expected = fmt::format("epoch {}", number(before.version.epoch)),
                 .found = "a newer one"});
        turn.conflicted();
    }
}

Committed Page::write(std::size_t offset, std::span<const std::byte> bytes,
                      const CommitOptions& options) const {
    const state::BytesOfPage write{
        .page = id_, .line = bus_.line, .offset = offset, .bytes = bytes};
    if (const auto committed = Bus::get(bus_).commit_bytes(write, options)) return *committed;
    OnePage change(*this);
    change.write(offset, bytes);
    return change.commit(options);
}

Committed Page::apply(const Delta& delta, const CommitOptions& options) const {
    auto& bus = Bus::get(bus_);
    auto line = bus_.line;
    const auto size = state::read_line(bus.at(), id_, line).size;
    if (delta.page_size() != size)
        throw InvalidDelta(ErrorCode::invalid_delta,
                           fmt::format("a delta of {} bytes for page {} of {}", delta.page_size(),
                                       number(id_), size),
                           {.page = id_,
                            .expected = fmt::format("{} bytes", size),
                            .found = fmt::format("{}", delta.page_size())});
    const auto runs = delta.runs();
    if (runs.size() > most_writes)
        return update_with([&](std::span<std::byte> bytes) { delta.apply_to(bytes); }, options);
    std::vector<state::Write> writes;
    writes.reserve(runs.size());
    for (const auto& run : runs) writes.push_back({run.offset, run.bytes});
    OnePage change(*this);
    change->writes = writes;
    change->size_then = size;
    return change.commit(options);
}

Committed Page::resize(std::size_t size, const CommitOptions& options) const {
    detail::check_page_options({}, size);
    OnePage change(*this);
    change->size = size;
    return change.commit(options);
}

Committed Page::rename(std::string_view name, const CommitOptions& options) const {
    detail::check_name(name);
    OnePage change(*this);
    change->name = std::string(name);
    return change.commit(options);
}

Committed Page::set_metadata(std::string_view key, std::string_view value,
                             const CommitOptions& options) const {
    detail::check_metadata(key, value);
    OnePage change(*this);
    change->metadata.emplace_back(key, value);
    return change.commit(options);
}

Page Page::clone(const PageOptions& options) const {
    // Both as of one moment: its metadata is the same before and after.
    auto mine = info();
    auto bytes = read();
    for (auto later = info(); later.metadata != mine.metadata; later = info()) {
        mine = std::move(later);
        bytes = read();
    }
    PageOptions theirs = options;
    if (theirs.contents.empty()) theirs.contents = bytes;
    if (theirs.metadata.empty()) theirs.metadata = mine.metadata;
    auto& bus = Bus::get(bus_);
    bus.refuse_writing();
    detail::check_page_options(theirs, bytes.size());
    state::Staged s;
    auto& page = s.pages.emplace_back();
    page.page = state::take_page_id(bus.at());
    page.created = true;
    page.size = bytes.size();
    page.location = detail::location_for(bus, theirs.location);
    page.name = std::string(theirs.name);
    page.metadata.assign(theirs.metadata.begin(), theirs.metadata.end());
    const state::Write contents{0, theirs.contents};
    if (!theirs.contents.empty()) page.writes = {&contents, 1};
    bus.commit(s, {});
    return Bus::page(bus_, s.pages.front().line, s.pages.front().page);
}

History Page::history(const HistoryOptions& options) const {
    static_cast<void>(size());  // PageNotFound now, not at the first step
    return History(detail::open_history(bus_, id_, options));
}

}  // namespace mmsb
