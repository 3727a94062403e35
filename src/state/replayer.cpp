#include "state/replayer.hpp"

#include "state/past.hpp"

#include <algorithm>

namespace mmsb::state {

namespace {

constexpr std::size_t bytes_ahead = 8;  // so many records before it is applied

}  // namespace

Replayer::Replayer(Attachment& bus, replay::Image& image, Lsn from, std::optional<Lsn> to)
    : bus_(bus), image_(image), cursor_(bus, from, to), at_(from) {
    cursor_.use(std::move(memory_->buffer));
}

Replayer::~Replayer() {
    constexpr std::size_t most_kept = 2 * limits::mib;
    memory_->buffer = cursor_.take_buffer();
    auto kept = memory_->buffer.capacity();
    for (const auto& ahead : ahead_) kept += ahead.pages.capacity() * sizeof(log::PageEntry);
    if (kept > most_kept) memory_.drop();
}

bool Replayer::next() {
    if (next_ == count_ && !look_ahead()) return false;
    ask_for_bytes(next_ + bytes_ahead);
    const auto& [record, pages] = ahead_[next_];
    // (One with a blob is the last that was looked at: the cursor is there.)
    const auto wrong = record.only_bytes ? image_.apply_bytes(record, pages)
                       : record.blob     ? image_.apply(record, cursor_.body())
                                         : image_.apply(record);
    if (!wrong.empty()) throw_contradiction(bus_, record, wrong);
    ++next_;
    at_ = record.end;
    return true;
}

void Replayer::each_page(FunctionRef<void(PageId)> visit) {
    const auto& [record, pages] = ahead_[next_ - 1];
    for (const auto& page : pages) visit(page.page);
    if (!record.blob) return;
    log::EntryReader reader(cursor_.body());
    for (log::Entry entry; reader.next(entry);)
        if (entry.kind == log::EntryKind::page) visit(entry.page.page);
}

bool Replayer::look_ahead() {
    next_ = count_ = 0;
    if (ahead_.size() < most_ahead_) ahead_.resize(most_ahead_);
    cursor_.gather(ahead_.front().pages);
    if (!cursor_.next()) return false;
    take(ahead_.front());
    while (count_ != most_ahead_ && !ahead_[count_ - 1].record.blob) {
        cursor_.gather(ahead_[count_].pages);
        if (!cursor_.next_at_hand()) break;
        take(ahead_[count_]);
    }
    for (std::size_t n = 0; n != std::min(bytes_ahead, count_); ++n) ask_for_bytes(n);
    return true;
}

void Replayer::take(Ahead& to) {
    to.record = cursor_.record();
    ++count_;
    if (!to.record.only_bytes) return;
    for (const auto& page : to.pages) image_.prefetch(page.page);
}

void Replayer::ask_for_bytes(std::size_t n) const noexcept {
    if (n >= count_ || !ahead_[n].record.only_bytes) return;
    for (const auto& page : ahead_[n].pages) image_.prefetch(page);
}

}  // namespace mmsb::state
