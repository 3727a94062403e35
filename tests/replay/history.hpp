/// tests/replay/history: random valid records, and what they must lead to, in plain maps.
#pragma once

#include "replay/support.hpp"

#include <map>
#include <set>

namespace mmsb::replay::test {

struct ModelPage {
    std::uint32_t line = 0;
    Location location = Location::cpu;
    std::uint64_t epoch = 0, sequence = 0;
    bool stale = false;
    std::string name{};
    Metadata metadata{};
    Bytes bytes{};
};
using Model = std::map<std::uint64_t, ModelPage>;

/// Makes up one commit after the other. A handful of names, so that they are taken, freed, swapped
/// and passed on within records all the time.
class RandomHistory {
public:
    explicit RandomHistory(std::uint64_t seed) : random_(seed) {}

    /// The next record's entries; `model` is then what must be there after it.
    const std::vector<log::PageEntry>& next(std::uint64_t sequence);
    [[nodiscard]] const Model& model() const { return model_; }
    [[nodiscard]] Random& random() { return random_; }

private:
    bool chance(unsigned percent) { return below(random_, 100) < percent; }
    std::size_t some_size();
    Bytes changed(const Bytes& bytes);
    void change_metadata(ModelPage& page, log::PageEntry& entry);
    std::uint64_t new_id();
    void create();
    void change(std::uint64_t id);
    void give_names();

    std::span<const std::byte> keep(Bytes bytes) { return storage_.emplace_back(std::move(bytes)); }

    Random random_;
    Model model_{};
    std::uint64_t next_page_ = 1;
    std::vector<std::uint64_t> held_ids_{};
    std::vector<log::PageEntry> entries_{};
    std::set<std::uint32_t> freed_lines_{};
    std::deque<Bytes> storage_{};
};

inline std::size_t RandomHistory::some_size() {
    switch (below(random_, 8)) {
        case 0:
            return 0;
        case 1:
            return 4096;
        case 2:
            return 1 + below(random_, 20'000);
        default:
            return 1 + below(random_, 200);
    }
}

inline Bytes RandomHistory::changed(const Bytes& bytes) {
    Bytes after = bytes;
    if (after.empty()) return after;
    const auto runs = 1 + below(random_, 3);
    for (std::uint64_t i = 0; i != runs; ++i) {
        const auto from = below(random_, after.size());
        const auto n = chance(20)
                           ? after.size() - from
                           : std::min<std::uint64_t>(1 + below(random_, 9), after.size() - from);
        for (auto at = from; at != from + n; ++at) after[at] = static_cast<std::byte>(random_());
    }
    return after;
}

inline void RandomHistory::change_metadata(ModelPage& page, log::PageEntry& entry) {
    Bytes encoded;
    const auto count = 1 + below(random_, 3);
    for (std::uint64_t i = 0; i != count; ++i) {
        const auto key = "key" + std::to_string(below(random_, 4));
        const auto value = chance(40) ? std::string() : "value" + std::to_string(random_());
        log::write_metadata(key, value, encoded);
        page.metadata.erase(key);
        if (!value.empty()) page.metadata[key] = value;
    }
    entry.metadata = keep(std::move(encoded));
}

// Ids are taken before records are written, so they need not come in order.
inline std::uint64_t RandomHistory::new_id() {
    if (!held_ids_.empty() && chance(30)) {
        const auto id = held_ids_.back();
        held_ids_.pop_back();
        return id;
    }
    if (chance(20)) held_ids_.push_back(next_page_++);
    next_page_ += chance(10) ? below(random_, 5000) : 0;
    return next_page_++;
}

inline void RandomHistory::create() {
    const auto id = new_id();
    log::PageEntry entry{.page = PageId{id}, .created = true};
    ModelPage page;
    std::set<std::uint32_t> taken = freed_lines_;
    for (const auto& [other_id, other] : model_) taken.insert(other.line);
    do {
        page.line = static_cast<std::uint32_t>(below(random_, 4 * model_.size() + 8));
    } while (taken.contains(page.line));
    page.location = static_cast<Location>(below(random_, 3));
    page.bytes.resize(some_size());
    if (chance(60)) {
        const auto after = changed(page.bytes);
        entry.delta = keep(delta_of(page.bytes, after));
        page.bytes = after;
    }
    entry.size = page.bytes.size();
    entry.line = page.line;
    entry.location = page.location;
    entry.renamed = chance(50);
    entry.stale = page.stale = chance(10);
    if (chance(30)) change_metadata(page, entry);
    model_[id] = std::move(page);
    entries_.push_back(entry);
}

inline void RandomHistory::change(std::uint64_t id) {
    auto& page = model_[id];
    log::PageEntry entry{.page = PageId{id}};
    if (chance(10)) {
        entry.deleted = true;
        entry.epoch = Epoch{page.epoch};
        freed_lines_.insert(page.line);
        model_.erase(id);
        entries_.push_back(entry);
        return;
    }
    if (chance(15)) {
        page.bytes.resize(some_size());
        entry.resized = true;
    }
    if (chance(80)) {
        const auto after = changed(page.bytes);
        entry.delta = keep(delta_of(page.bytes, after));
        page.bytes = after;
    }
    entry.renamed = chance(20);
    entry.stale = page.stale = chance(20);
    if (chance(10)) change_metadata(page, entry);
    if (entry.resized || !entry.delta.empty()) ++page.epoch;
    entry.epoch = Epoch{page.epoch};
    entry.size = page.bytes.size();
    entries_.push_back(entry);
}

inline void RandomHistory::give_names() {
    constexpr std::array<std::string_view, 6> pool{"a", "b", "c", "camera/left", "d", "e"};
    std::vector<std::string_view> open(pool.begin(), pool.end());
    for (const auto& entry : entries_) {
        if (entry.renamed) model_[number(entry.page)].name.clear();
    }
    for (const auto& [id, page] : model_) std::erase(open, page.name);
    std::shuffle(open.begin(), open.end(), random_);
    for (auto& entry : entries_) {
        if (!entry.renamed || open.empty() || chance(20)) continue;
        entry.name = open.back();
        open.pop_back();
        model_[number(entry.page)].name = entry.name;
    }
}

inline const std::vector<log::PageEntry>& RandomHistory::next(std::uint64_t sequence) {
    entries_.clear();
    storage_.clear();
    freed_lines_.clear();
    std::vector<std::uint64_t> ids;
    for (const auto& [id, page] : model_) ids.push_back(id);
    std::shuffle(ids.begin(), ids.end(), random_);
    ids.resize(std::min<std::size_t>(ids.size(), 1 + below(random_, 5)));
    if (chance(50)) std::sort(ids.begin(), ids.end());
    for (const auto id : ids) change(id);
    for (auto count = below(random_, 3); count != 0 && model_.size() < 24; --count) create();
    if (entries_.empty()) create();
    if (chance(30)) std::shuffle(entries_.begin(), entries_.end(), random_);
    give_names();
    for (const auto& entry : entries_) {
        if (!entry.deleted) model_[number(entry.page)].sequence = sequence;
    }
    return entries_;
}

}  // namespace mmsb::replay::test
