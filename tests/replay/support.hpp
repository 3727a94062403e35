/// tests/replay/support: records written and parsed as the log does it, bytes at random, seeds.
#pragma once

#include "delta/codec.hpp"
#include "log/record.hpp"
#include "replay/image.hpp"
#include "support/sanitizers.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mmsb::replay::test {

using Random = std::mt19937_64;

/// Calls `body(seed)` for MMSB_SEED alone, or for the seeds 1 to `count`.
template <class Body>
void for_each_seed(std::uint64_t count, Body body) {
    const auto* const given = std::getenv("MMSB_SEED");
    const std::uint64_t first = given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
    const std::uint64_t last = given != nullptr ? first : mmsb::test::cases(count, (count + 3) / 4);
    for (auto seed = first; seed <= last && !::testing::Test::HasFailure(); ++seed) {
        SCOPED_TRACE("MMSB_SEED=" + std::to_string(seed));
        body(seed);
    }
}

inline std::uint64_t below(Random& random, std::uint64_t n) { return random() % n; }

inline Bytes bytes_at_random(Random& random, std::size_t size) {
    Bytes bytes(size);
    for (auto& b : bytes) b = static_cast<std::byte>(random());
    return bytes;
}

/// Encoded; empty where nothing differs.
inline Bytes delta_of(const Bytes& before, const Bytes& after) {
    const delta::Part part{.offset = 0, .before = before, .after = after};
    Bytes out;
    delta::encode(std::span(&part, 1), after.size(), out);
    return out;
}

inline Bytes metadata_of(
    std::initializer_list<std::pair<std::string_view, std::string_view>> pairs) {
    Bytes out;
    for (const auto& [key, value] : pairs) log::write_metadata(key, value, out);
    return out;
}

/// Writes records one behind the other as the log does, and gives them back parsed.
class Recorder {
public:
    /// The record that comes next: position filled in.
    [[nodiscard]] log::RecordFields fields(log::RecordKind kind = log::RecordKind::commit) const {
        log::RecordFields f;
        f.kind = kind;
        f.sequence = sequence + (kind == log::RecordKind::commit ? 1U : 0U);
        f.time_ns = time_ns;
        f.structural = kind == log::RecordKind::source;
        f.previous_structure = log::no_lsn;
        return f;
    }
    /// Views into bytes that live as long as this.
    log::Record write(const log::RecordFields& f, std::span<const std::byte> body) {
        auto& bytes = storage_.emplace_back();
        log::write_record(f, body, next, context_, bytes);
        const auto parsed = log::parse_record(bytes, next, context_);
        if (parsed.status != log::ParseStatus::good) {
            ADD_FAILURE() << "the record cannot be parsed: expected " << parsed.expected;
        }
        return parsed.record;
    }
    log::Record commit(const std::vector<log::PageEntry>& entries) {
        return commit(entries, fields());
    }
    log::Record commit(const std::vector<log::PageEntry>& entries, log::RecordFields f) {
        Bytes body;
        for (const auto& entry : entries) {
            log::write_entry(entry, body);
            f.structural |= entry.created || entry.deleted || entry.resized || entry.renamed ||
                            !entry.metadata.empty();
        }
        return write(f, body);
    }
    log::Record source(std::uint32_t number, std::string_view name) {
        Bytes body;
        log::write_source({.number = number, .name = name}, body);
        return write(fields(log::RecordKind::source), body);
    }
    /// The record counts: what is written next comes behind it.
    void accept(const log::Record& record) {
        next = record.end;
        sequence = record.sequence;
        time_ns = record.time_ns + 1;
    }
    /// Writes, applies, and expects that it is accepted.
    void apply(Image& image, const std::vector<log::PageEntry>& entries) {
        const auto record = commit(entries);
        EXPECT_EQ(image.apply(record), "");
        accept(record);
    }

    log::Lsn next = 0;
    Sequence sequence = Sequence::zero;
    std::int64_t time_ns = 1'700'000'000'000'000'000;

private:
    log::Context context_{.salt = 0x5a17, .base_time_ns = 1'700'000'000'000'000'000};
    std::deque<Bytes> storage_{};
};

/// Nothing to tell them apart, lines and positions included.
inline void expect_same(const Image& left, const Image& right) {
    const auto difference = first_difference(left, right);
    EXPECT_FALSE(difference) << "page " << number(difference->page) << ": " << difference->what
                             << " at " << difference->offset;
    EXPECT_EQ(left.sequence(), right.sequence());
    EXPECT_EQ(left.time_ns(), right.time_ns());
    EXPECT_EQ(left.lsn(), right.lsn());
    EXPECT_EQ(left.next_page(), right.next_page());
    EXPECT_EQ(left.sources(), right.sources());
    for (const auto& [id, page] : left.pages()) {
        const auto* const other = right.find(id);
        ASSERT_NE(other, nullptr);
        EXPECT_EQ(page.line, other->line);
        EXPECT_EQ(page.lsn, other->lsn);
        if (page.name.empty()) continue;
        EXPECT_EQ(left.find(page.name), &page);
        EXPECT_EQ(right.find(page.name), other);
    }
    EXPECT_NO_THROW(left.check_invariants());
    EXPECT_NO_THROW(right.check_invariants());
}

/// Refuses `record` with a text that holds `why`, and stays as it is.
inline void expect_refused(Image& image, const log::Record& record, std::string_view why) {
    const Image before = image;
    const auto problem = image.apply(record);
    EXPECT_NE(problem, "") << "expected a refusal: " << why;
    EXPECT_NE(problem.find(why), std::string::npos) << problem;
    expect_same(before, image);
}

}  // namespace mmsb::replay::test
