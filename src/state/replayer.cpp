#include "state/replayer.hpp"

#include "state/past.hpp"

#include <algorithm>
#include <utility>

namespace mmsb::state {

namespace {

constexpr std::size_t pages_ahead = 24, bytes_ahead = 8;  // so many entries before it is applied

}  // namespace

Replayer::Replayer(Attachment& bus, replay::Image& image, Lsn from, std::optional<Lsn> to)
    : bus_(bus),
      image_(image),
      cursor_(bus, from, to),
      at_(from),
      ahead_(memory_->parts, [this](Part& part) { return read(part); }) {
    cursor_.use(std::move(memory_->buffer));
}

Replayer::~Replayer() {
    constexpr std::size_t most_memory = 2 * limits::mib;
    ahead_.stop();
    memory_->buffer = cursor_.take_buffer();
    auto kept = memory_->buffer.capacity();
    for (const auto& part : memory_->parts)
        kept += part.bytes.capacity() + part.log.capacity_bytes();
    if (kept > most_memory) memory_.drop();
}

void Replayer::extend(Lsn to) noexcept {
    ahead_.stop();
    cursor_.extend(to);
}

// Of the cursor, which is of whoever makes parts.
bool Replayer::read(Part& part) {
    return cursor_.next(part.log, part.bytes, std::exchange(most_at_first_, most_));
}

bool Replayer::next() {
    if ((part_ == nullptr || next_ == part_->log.items.size()) && !next_part()) return false;
    const auto& item = part_->log.items[next_];
    ask_ahead(item);
    if (const auto wrong = apply(item); !wrong.empty())
        throw_contradiction(bus_, item.record, wrong);
    ++next_;
    at_ = item.record.end;
    return true;
}

std::string Replayer::apply(const ParsedLog::Item& item) {
    const auto* const whole = part_->log.whole(item);
    if (whole == nullptr) return image_.apply_bytes(item.record, part_->log.pages_of(item));
    if (!whole->blob) return image_.apply(*whole);
    blob_ = read_blob(bus_, *whole);
    return image_.apply(*whole, blob_);
}

void Replayer::each_page(FunctionRef<void(PageId)> visit) {
    const auto& item = part_->log.items[next_ - 1];
    for (const auto& page : part_->log.pages_of(item)) visit(page.page);
    if (!blob()) return;
    log::EntryReader reader(blob_);
    for (log::Entry entry; reader.next(entry);)
        if (entry.kind == log::EntryKind::page) visit(entry.page.page);
}

bool Replayer::next_part() {
    next_ = 0;
    part_ = nullptr;  // it is gone, also where what follows throws
    part_ = ahead_.next();
    if (part_ == nullptr) return false;
    const auto& items = part_->log.items;
    const auto end = items.back().record.end;
    if (hurries_ && end + worth_a_thread <= to())
        ahead_.start_if_worth(items.size(), end - items.front().record.start);
    asked_for_pages_ = asked_for_bytes_ = 0;
    return true;
}

void Replayer::ask_ahead(const ParsedLog::Item& item) noexcept {
    const auto& pages = part_->log.pages;
    const auto upto = item.first_page + item.page_count;
    for (; asked_for_pages_ < std::min(upto + pages_ahead, pages.size()); ++asked_for_pages_)
        image_.prefetch(pages[asked_for_pages_].page);
    for (; asked_for_bytes_ < std::min(upto + bytes_ahead, pages.size()); ++asked_for_bytes_)
        image_.prefetch(pages[asked_for_bytes_]);
}

}  // namespace mmsb::state
