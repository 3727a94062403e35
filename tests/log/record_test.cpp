#include "log/record.hpp"

#include "log/head.hpp"
#include "log/support.hpp"
#include "support/sanitizers.hpp"

#include <gtest/gtest.h>

namespace mmsb::log {
namespace {

using testing::Buffer;
using testing::flip;
using testing::Random;
using testing::seed_or;
using testing::some_body;

constexpr Context context{.salt = 0xfeedfacecafebeef, .base_time_ns = 1'000'000};
constexpr Lsn start = Lsn{1} << 20U;

struct Made {
    RecordFields fields{};
    std::string label{};
    Buffer body{};
};

Buffer body_for(RecordKind kind, Random& random) {
    Buffer body;
    if (kind == RecordKind::incarnation) return random.bytes(16);
    if (kind == RecordKind::source) {
        const auto name = random.text(1 + random.below(255));
        write_source({.number = static_cast<std::uint32_t>(1 + random.below(65'535)), .name = name},
                     body);
    }
    if (kind == RecordKind::retention)
        write_kept_past({random.value(), random.value(), random.value()}, body);
    if (kind == RecordKind::clock)
        write_clock_jump(static_cast<std::int64_t>(random.value() | 1U), body);
    if (kind == RecordKind::commit) body = some_body(random.below(200), random);
    return body;
}

/// Any record that may be written. `label` must outlive the fields: Made is filled in place.
void make(Random& random, Made& made) {
    constexpr std::array kinds{RecordKind::commit, RecordKind::source,    RecordKind::incarnation,
                               RecordKind::close,  RecordKind::retention, RecordKind::clock};
    auto& f = made.fields;
    f = {};
    f.kind = kinds[random.below(kinds.size())];
    f.sequence = Sequence{random.value()};
    f.time_ns = static_cast<std::int64_t>(random.value());
    f.source = static_cast<std::uint32_t>(random.value(32));
    f.process = static_cast<std::int32_t>(random.value(32));
    f.tag = random.value();
    made.label = random.coin() ? random.text(random.below(limits::label_size + 1)) : "";
    f.label = made.label;
    if (random.coin()) f.durable = start - 8 * random.value(17);
    f.structural = random.coin();
    if (f.structural) {
        f.previous_structure = random.coin() ? no_lsn : 8 * random.below(start / 8);
    }
    made.body = body_for(f.kind, random);
    if (f.kind == RecordKind::commit && random.coin()) {
        made.body.clear();
        f.blob = BlobReference{.id = random.value() | 1U,
                               .size = random.value() | 1U,
                               .checksum = static_cast<std::uint32_t>(random.value(32))};
    }
}

void expect_same(const Record& record, const Made& made, std::size_t padded) {
    const auto& f = made.fields;
    EXPECT_EQ(record.kind, f.kind);
    EXPECT_EQ(record.sequence, f.sequence);
    EXPECT_EQ(record.time_ns, f.time_ns);
    EXPECT_EQ(record.source, f.source);
    EXPECT_EQ(record.process, f.process);
    EXPECT_EQ(record.tag, f.tag);
    EXPECT_EQ(record.label, f.label);
    EXPECT_EQ(record.durable, f.kind == RecordKind::close ? start + padded : f.durable);
    EXPECT_EQ(record.structural, f.structural);
    EXPECT_EQ(record.previous_structure, f.structural ? f.previous_structure : 0);
    ASSERT_EQ(record.blob.has_value(), f.blob.has_value());
    if (f.blob) {
        EXPECT_EQ(record.blob->id, f.blob->id);
        EXPECT_EQ(record.blob->size, f.blob->size);
        EXPECT_EQ(record.blob->checksum, f.blob->checksum);
    }
    EXPECT_EQ(record.start, start);
    EXPECT_EQ(record.end, start + padded);
    EXPECT_TRUE(std::ranges::equal(record.body, made.body));
}

TEST(Records, OfEveryKindComeBackAsTheyWereWritten) {
    const auto seed = seed_or(1);
    SCOPED_TRACE(seed);
    Random random(seed);
    Made made;
    for (int round = 0; round < 5'000 && !::testing::Test::HasFailure(); ++round) {
        make(random, made);
        Buffer out(3, std::byte{0x11});  // Appended, wherever that is in memory.
        const auto padded = write_record(made.fields, made.body, start, context, out);
        ASSERT_EQ(out.size(), 3 + padded);
        ASSERT_EQ(padded % 8, 0U);
        ASSERT_LE(padded, record_overhead(made.label.size()) + made.body.size());
        const auto more = random.bytes(random.below(40));
        out.insert(out.end(), more.begin(), more.end());
        const auto parsed = parse_record(std::span(out).subspan(3), start, context);
        ASSERT_EQ(parsed.status, ParseStatus::good) << parsed.expected;
        ASSERT_EQ(parsed.size, padded);
        expect_same(parsed.record, made, padded);
    }
}

TEST(Records, LeaveADurablePositionOutThatIsTooFarBackOrUnaligned) {
    constexpr Lsn far = Lsn{1} << 40U;
    const auto durable_read = [&](Lsn durable) {
        Buffer out;
        write_record({.durable = durable}, {}, far, context, out);
        return parse_record(out, far, context).record.durable;
    };
    constexpr Lsn reach = Lsn{1} << 24U;
    EXPECT_EQ(durable_read(far), far);
    EXPECT_EQ(durable_read(far - reach + 8), far - reach + 8);
    EXPECT_EQ(durable_read(far - reach), std::nullopt);
    EXPECT_EQ(durable_read(far - 4), std::nullopt);
    EXPECT_EQ(durable_read(far + 8), std::nullopt);
}

TEST(Records, TakeFewBytesWhereLittleIsSaid) {
    Buffer out;
    const auto size = write_record({.sequence = Sequence{100},
                                    .time_ns = context.base_time_ns + 1'000'000,
                                    .source = 1,
                                    .process = 4'000,
                                    .durable = start - 800},
                                   {}, start, context, out);
    EXPECT_EQ(size, 24U);
}

// The same bytes, whether a record is made entry by entry, or around the one delta that it holds.
TEST(Records, MadeAroundADeltaAreThoseThatAreMadeOfItsEntry) {
    Random random(seed_or(7));
    Made made;
    for (int i = 0; i < mmsb::test::cases(5000, 1000); ++i) {
        do make(random, made);
        while (made.fields.kind != RecordKind::commit || made.fields.blob ||
               made.fields.structural);
        const auto delta = random.coin() ? random.bytes(1 + random.below(300)) : Buffer{};
        const DeltaEntry entry{PageId{random.value() | 1U}, Epoch{random.value()},
                               random.value(40)};
        Buffer body, written;
        if (!delta.empty())
            write_entry(
                PageEntry{
                    .page = entry.page, .epoch = entry.epoch, .size = entry.size, .delta = delta},
                body);
        write_record(made.fields, body, start, context, written);

        const auto front = record_overhead(made.label.size()) + delta_entry_front;
        Buffer room(front + delta.size() + most_padding, std::byte{0xaa});
        const auto place = std::span(room).subspan(front, delta.size());
        std::ranges::copy(delta, place.begin());
        const auto wrapped = wrap_delta(made.fields, entry, place, start, context);
        ASSERT_TRUE(std::ranges::equal(wrapped, written)) << i;
    }
}

TEST(Records, WithAnyBitFlippedAreRefused) {
    const auto seed = seed_or(2);
    SCOPED_TRACE(seed);
    Random random(seed);
    Made made;
    for (int round = 0; round < 40; ++round) {
        make(random, made);
        Buffer out;
        write_record(made.fields, made.body, start, context, out);
        for (std::size_t bit = 0; bit < out.size() * 8; ++bit) {
            flip(out, bit);
            const auto parsed = parse_record(out, start, context);
            ASSERT_NE(parsed.status, ParseStatus::good) << "round " << round << " bit " << bit;
            ASSERT_NE(parsed.status, ParseStatus::empty);
            // A flip in the head is seen by its own check, never taken for a cut record.
            ASSERT_NE(parsed.status, ParseStatus::partial) << "round " << round << " bit " << bit;
            flip(out, bit);
        }
    }
}

TEST(Records, ThatAreCutArePartialFromTheHeadOn) {
    Random random(3);
    Buffer out;
    const auto size =
        write_record({.label = "a label"}, some_body(50, random), start, context, out);
    for (std::size_t n = 0; n < out.size(); ++n) {
        const auto parsed = parse_record(std::span(out).first(n), start, context);
        ASSERT_STRNE(parsed.expected, "") << n;
        if (n == 0) {
            ASSERT_EQ(parsed.status, ParseStatus::empty);
        } else if (n < head_size) {
            ASSERT_EQ(parsed.status, ParseStatus::bad) << n;
        } else {
            ASSERT_EQ(parsed.status, ParseStatus::partial) << n;
            ASSERT_EQ(parsed.size, size);
        }
    }
}

TEST(Records, DoNotPassAtAnotherPlaceOrInAnotherSegment) {
    Random random(seed_or(4));
    Buffer out;
    write_record({.sequence = Sequence{5}}, some_body(20, random), start, context, out);
    ASSERT_EQ(parse_record(out, start, context).status, ParseStatus::good);
    for (unsigned bit = 3; bit < 63; ++bit) {
        const auto elsewhere = start ^ (Lsn{1} << bit);
        ASSERT_EQ(parse_record(out, elsewhere, context).status, ParseStatus::bad) << bit;
    }
    for (unsigned bit = 0; bit < 64; ++bit) {
        const Context other{.salt = context.salt ^ (std::uint64_t{1} << bit)};
        ASSERT_EQ(parse_record(out, start, other).status, ParseStatus::bad) << bit;
    }
    for (int round = 0; round < 10'000; ++round) {
        const Context other{.salt = random.value()};
        ASSERT_NE(parse_record(out, start, other).status, ParseStatus::good) << other.salt;
    }
}

TEST(Fillers, AreGoodOfAnySizeAndHoldNothing) {
    for (std::size_t size = 16; size < 400; size += 8) {
        Buffer out;
        write_filler(size, start, context, out);
        ASSERT_EQ(out.size(), size);
        const auto parsed = parse_record(out, start, context);
        ASSERT_EQ(parsed.status, ParseStatus::good);
        EXPECT_EQ(parsed.record.kind, RecordKind::filler);
        EXPECT_EQ(parsed.size, size);
        EXPECT_EQ(parsed.record.end, start + size);
    }
}

/// Puts both checksums of the record in `bytes` right for what it now says.
void reseal(Buffer& bytes) {
    auto head = load_head(bytes);
    const auto seed = record_seed(context.salt, start);
    head.check = head_check(seed, head);
    std::memcpy(bytes.data(), &head, sizeof head);
    const auto padded = std::clamp<std::uint64_t>(base::round_up(head.size, 8), 4, bytes.size());
    head.checksum = base::crc32c(seed, std::span(bytes).first(padded).subspan(4));
    std::memcpy(bytes.data(), &head, sizeof head);
}
struct Crafted {
    RecordKind kind = RecordKind::commit;
    unsigned flags = 0;
    std::vector<int> payload{};
};
Parsed parse_crafted(const Crafted& crafted) {
    Buffer bytes(head_size);
    for (const auto b : crafted.payload) bytes.push_back(static_cast<std::byte>(b));
    const Head head{.checksum = 0,
                    .check = 0,
                    .kind = static_cast<std::uint8_t>(crafted.kind),
                    .flags = static_cast<std::uint8_t>(crafted.flags),
                    .size = static_cast<std::uint32_t>(bytes.size())};
    std::memcpy(bytes.data(), &head, sizeof head);
    bytes.resize(base::round_up(bytes.size(), 8));
    reseal(bytes);
    return parse_record(bytes, start, context);
}

TEST(Records, WithRightChecksumsAndWrongFieldsAreRefused) {
    using enum RecordKind;
    ASSERT_EQ(parse_crafted({.payload = {1, 2, 3, 4}}).status, ParseStatus::good);
    ASSERT_EQ(parse_crafted({.kind = close, .payload = {1, 2, 3, 4}}).status, ParseStatus::good);
    const std::vector<Crafted> wrong{
        {.payload = {}},
        {.payload = {1, 2, 3}},
        {.payload = {0x81, 0, 2, 3, 4}},                       // An overlong varint.
        {.payload = {1, 2, 0xff, 0xff, 0xff, 0xff, 0x1f, 4}},  // A source beyond 32 bits.
        {.payload = {1, 2, 3, 0xff, 0xff, 0xff, 0xff, 0x1f}},  // A process beyond 32 bits.
        {.flags = 32, .payload = {1, 2, 3, 4}},                // Flags that do not exist.
        {.flags = 128, .payload = {1, 2, 3, 4}},
        {.flags = flag::durable, .payload = {1, 2, 3, 4}},  // A flag without its field.
        {.flags = flag::durable, .payload = {1, 2, 3, 4, 0x80, 0x80, 0x80, 1}},  // 2^24 back.
        {.flags = flag::durable, .payload = {1, 2, 3, 4, 0x81, 0x80, 8}},  // Before the log began.
        {.flags = flag::structural, .payload = {1, 2, 3, 4, 0x81, 0x80, 8}},
        {.flags = flag::tag, .payload = {1, 2, 3, 4, 0}},
        {.flags = flag::label, .payload = {1, 2, 3, 4, 0}},
        {.flags = flag::label, .payload = {1, 2, 3, 4, 2, 'a'}},
        {.flags = flag::blob, .payload = {1, 2, 3, 4, 0, 1, 0, 0, 0, 0}},
        {.flags = flag::blob, .payload = {1, 2, 3, 4, 1, 0, 0, 0, 0, 0}},
        {.flags = flag::blob, .payload = {1, 2, 3, 4, 1, 1, 0, 0, 0}},
        {.flags = flag::blob, .payload = {1, 2, 3, 4, 1, 1, 0, 0, 0, 0, 0}},
        {.kind = close, .flags = flag::blob, .payload = {1, 2, 3, 4, 1, 1, 0, 0, 0, 0}},
        {.kind = close, .flags = flag::durable, .payload = {1, 2, 3, 4, 0}},
        {.kind = close, .payload = {1, 2, 3, 4, 0}},
        {.kind = incarnation, .payload = {1, 2, 3, 4, 5}},
        {.kind = source, .payload = {1, 2, 3, 4}},
        {.kind = source, .payload = {1, 2, 3, 4, 0, 1, 'a'}},
        {.kind = source, .payload = {1, 2, 3, 4, 1, 0}},
        {.kind = source, .payload = {1, 2, 3, 4, 1, 1, 'a', 0}},
        {.kind = source, .payload = {1, 2, 3, 4, 0x80, 0x80, 4, 1, 'a'}},  // Number 65,536.
        {.kind = filler, .payload = {0, 0, 0, 1}},
        {.kind = filler, .flags = flag::tag, .payload = {0, 0, 0, 0}},
        {.kind = filler, .payload = {0, 0, 0}},
        {.kind = RecordKind{0}, .payload = {1, 2, 3, 4}},
        {.kind = RecordKind{6}, .payload = {1, 2, 3, 4}},
        {.payload = {1, 2, 3, 4, 0x90}},  // No entry.
    };
    for (std::size_t i = 0; i < wrong.size(); ++i) {
        const auto parsed = parse_crafted(wrong[i]);
        EXPECT_EQ(parsed.status, ParseStatus::bad) << i;
        EXPECT_STRNE(parsed.expected, "") << i;
    }
    auto label = Crafted{.flags = flag::label, .payload = {1, 2, 3, 4, 0x80, 8}};
    label.payload.resize(label.payload.size() + 1024, 'x');
    EXPECT_EQ(parse_crafted(label).status, ParseStatus::good);
    label.payload[4] = 0x81;
    label.payload.push_back('x');
    EXPECT_EQ(parse_crafted(label).status, ParseStatus::bad);
}

TEST(Records, WithBytesInThePaddingAreRefused) {
    Buffer out;
    write_record({.label = "abc"}, {}, start, context, out);
    ASSERT_NE(load_head(out).size, out.size());
    out.back() = std::byte{1};
    reseal(out);
    EXPECT_EQ(parse_record(out, start, context).status, ParseStatus::bad);
}

TEST(Records, MadeOfNoiseAreRefusedAndNeverReadBeyondTheirBytes) {
    const auto seed = seed_or(5);
    SCOPED_TRACE(seed);
    Random random(seed);
    for (int round = 0; round < 20'000; ++round) {
        auto noise = random.bytes(random.below(100));
        ASSERT_NE(parse_record(noise, start, context).status, ParseStatus::good);
        if (noise.size() < head_size) continue;
        // The same behind a head that is right: the fields are read.
        const Head head{.checksum = 0,
                        .check = 0,
                        .kind = static_cast<std::uint8_t>(1 + random.below(5)),
                        .flags = static_cast<std::uint8_t>(random.below(32)),
                        .size = static_cast<std::uint32_t>(random.below(noise.size() + 9))};
        std::memcpy(noise.data(), &head, sizeof head);
        reseal(noise);
        const auto parsed = parse_record(noise, start, context);
        ASSERT_TRUE(parsed.status != ParseStatus::good || parsed.size <= noise.size());
    }
}

}  // namespace
}  // namespace mmsb::log
