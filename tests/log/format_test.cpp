#include "log/format.hpp"

#include "base/checksum.hpp"
#include "log/support.hpp"

#include <gtest/gtest.h>

namespace mmsb::log {
namespace {

using testing::Buffer;
using testing::flip;
using Kind = Refusal::Kind;

Uuid some_uuid() {
    Uuid uuid{};
    for (std::size_t i = 0; i < uuid.size(); ++i) uuid[i] = static_cast<std::byte>(0xa0 + i);
    return uuid;
}
SegmentHeader some_segment() {
    return {.bus = some_uuid(),
            .id = 7,
            .salt = 0x0123456789abcdef,
            .start = 1U << 20U,
            .capacity = 8192,
            .base_time_ns = -5};
}
BusHeader some_bus(std::uint64_t generation) {
    return {.uuid = some_uuid(),
            .inode = 42,
            .generation = generation,
            .geometry = {.ring_size = 65536, .segment_size = 131072},
            .page_id_ceiling = 1024,
            .created_ns = 1'700'000'000'000'000'000};
}
BlobHeader some_blob() {
    return {.bus = some_uuid(), .id = 9, .size = 77, .checksum = 0xdeadbeef, .log_end = 4242};
}
template <std::size_t n>
Buffer buffer(const std::array<std::byte, n>& bytes) {
    return {bytes.begin(), bytes.end()};
}
Buffer bus_file(std::uint64_t first, std::uint64_t second) {
    auto file = buffer(encode_bus(some_bus(first)));
    const auto slot = encode_bus(some_bus(second));
    file.insert(file.end(), slot.begin(), slot.end());
    return file;
}

TEST(Headers, ComeBackAsTheyWereWritten) {
    const auto segment = decode_segment(encode_segment(some_segment())).value;
    ASSERT_TRUE(segment);
    EXPECT_EQ(segment->bus, some_uuid());
    EXPECT_EQ(segment->id, 7U);
    EXPECT_EQ(segment->salt, 0x0123456789abcdefU);
    EXPECT_EQ(segment->start, Lsn{1} << 20U);
    EXPECT_EQ(segment->capacity, 8192U);
    EXPECT_EQ(segment->base_time_ns, -5);
    const auto bus = decode_bus(encode_bus(some_bus(3))).value;
    ASSERT_TRUE(bus);
    EXPECT_EQ(bus->uuid, some_uuid());
    EXPECT_EQ(bus->inode, 42U);
    EXPECT_EQ(bus->generation, 3U);
    EXPECT_EQ(bus->geometry, some_bus(3).geometry);
    EXPECT_EQ(bus->page_id_ceiling, 1024U);
    EXPECT_EQ(bus->created_ns, 1'700'000'000'000'000'000);
    const auto blob = decode_blob(encode_blob(some_blob())).value;
    ASSERT_TRUE(blob);
    EXPECT_EQ(blob->bus, some_uuid());
    EXPECT_EQ(blob->id, 9U);
    EXPECT_EQ(blob->size, 77U);
    EXPECT_EQ(blob->checksum, 0xdeadbeefU);
    EXPECT_EQ(blob->log_end, 4242U);
}

template <class Decode>
void expect_every_flip_refused(const Buffer& whole, Decode decode) {
    ASSERT_TRUE(decode(whole).value);
    for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
        auto bytes = whole;
        flip(bytes, bit);
        const auto decoded = decode(bytes);
        ASSERT_FALSE(decoded.value) << "bit " << bit;
        ASSERT_LE(decoded.refusal.offset, 12U) << "bit " << bit;
        ASSERT_FALSE(decoded.refusal.expected.empty() || decoded.refusal.found.empty());
        // Not foreign, though its magic is another, nor newer: the rest says that it is ours.
        ASSERT_EQ(decoded.refusal.kind, Kind::damaged) << "bit " << bit;
    }
}

TEST(Headers, AreRefusedWhicheverBitIsFlipped) {
    expect_every_flip_refused(buffer(encode_segment(some_segment())), decode_segment);
    expect_every_flip_refused(buffer(encode_bus(some_bus(1))), decode_bus);
    expect_every_flip_refused(buffer(encode_blob(some_blob())), decode_blob);
}

TEST(Headers, ThatAreCutAreDamagedAndSayHowLongTheyAre) {
    const auto whole = encode_segment(some_segment());
    for (std::size_t n = 0; n < whole.size(); ++n) {
        const auto decoded = decode_segment(std::span(whole).first(n));
        ASSERT_FALSE(decoded.value);
        ASSERT_EQ(decoded.refusal.kind, Kind::damaged);
        ASSERT_EQ(decoded.refusal.offset, n);
        ASSERT_EQ(decoded.refusal.found, std::to_string(n) + " bytes");
    }
}

TEST(Headers, OfAnotherProgramAreForeignHoweverShort) {
    const std::string_view text = "PK\x03\x04 not ours";
    for (std::size_t n = 1; n <= text.size(); ++n) {
        const auto decoded = decode_blob(bytes_of(text.substr(0, n)));
        ASSERT_FALSE(decoded.value);
        EXPECT_EQ(decoded.refusal.kind, Kind::foreign);
        EXPECT_EQ(decoded.refusal.expected, "the magic \"MMSBBLOB\"");
    }
    const auto decoded = decode_segment(encode_blob(some_blob()));
    EXPECT_EQ(decoded.refusal.kind, Kind::foreign);
    EXPECT_EQ(decoded.refusal.found, "\"MMSBBLOB\"");
}

TEST(Headers, OfANewerFormatAreRefusedByNameWhateverElseIsInThem) {
    auto bytes = encode_segment(some_segment());
    bytes[8] = std::byte{3};
    bytes[10] = std::byte{9};
    bytes[100] = std::byte{1};
    const auto decoded = decode_segment(bytes);
    ASSERT_FALSE(decoded.value);
    EXPECT_EQ(decoded.refusal.kind, Kind::newer);
    EXPECT_EQ(decoded.refusal.expected, "format 1.0 or older");
    EXPECT_EQ(decoded.refusal.found, "format 3.9");
    EXPECT_EQ(decode_segment(std::span(bytes).first(64)).refusal.kind, Kind::newer);
}

TEST(Headers, WithARightChecksumAndAFieldOutOfRangeAreDamaged) {
    const auto expect_refused_at = [](const SegmentHeader& header, std::uint64_t offset) {
        const auto decoded = decode_segment(encode_segment(header));
        ASSERT_FALSE(decoded.value);
        EXPECT_EQ(decoded.refusal.kind, Kind::damaged);
        EXPECT_EQ(decoded.refusal.offset, offset);
    };
    auto header = some_segment();
    header.id = 0;
    expect_refused_at(header, 32);
    for (const Lsn start : {Lsn{4}, ~Lsn{7}, (Lsn{1} << 62U) + 8}) {
        header = some_segment();
        header.start = start;
        expect_refused_at(header, 48);
    }
    for (const std::uint64_t capacity : {0ULL, 8ULL, 4097ULL, 1ULL << 41U, ~7ULL}) {
        header = some_segment();
        header.capacity = capacity;
        expect_refused_at(header, 56);
    }
    for (const std::uint64_t ring : {0ULL, 32768ULL, 65537ULL, 98304ULL, 1ULL << 41U}) {
        auto bus = some_bus(1);
        bus.geometry.ring_size = ring;
        const auto decoded = decode_bus(encode_bus(bus));
        ASSERT_FALSE(decoded.value) << ring;
        EXPECT_EQ(decoded.refusal.offset, 48U);
    }
    for (const std::uint64_t segment : {0ULL, 61440ULL, 131073ULL, (1ULL << 40U) + 4096}) {
        auto bus = some_bus(1);
        bus.geometry.segment_size = segment;
        const auto decoded = decode_bus(encode_bus(bus));
        ASSERT_FALSE(decoded.value) << segment;
        EXPECT_EQ(decoded.refusal.offset, 56U);
    }
}

TEST(BusFile, CountsTheSlotWithTheLargerGeneration) {
    EXPECT_EQ(decode_bus(bus_file(4, 5)).value->generation, 5U);
    EXPECT_EQ(decode_bus(bus_file(6, 5)).value->generation, 6U);
}

TEST(BusFile, SurvivesATornWriteOfEitherSlot) {
    const auto whole = bus_file(4, 5);
    for (std::size_t n = 0; n < bus_header_size; ++n) {
        auto file = whole;
        std::fill_n(file.begin() + static_cast<std::ptrdiff_t>(n), bus_header_size - n,
                    std::byte{0xff});
        const auto decoded = decode_bus(file);
        ASSERT_TRUE(decoded.value) << n;
        EXPECT_EQ(decoded.value->generation, 5U);
        EXPECT_EQ(decode_bus(std::span(whole).first(bus_header_size + n)).value->generation, 4U);
    }
}

TEST(BusFile, SurvivesAnyFlippedBitAndNeverInventsAHeader) {
    const auto whole = bus_file(4, 5);
    for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
        auto file = whole;
        flip(file, bit);
        const auto decoded = decode_bus(file);
        ASSERT_TRUE(decoded.value) << bit;
        ASSERT_EQ(decoded.value->generation, bit < bus_header_size * 8 ? 5U : 4U);
    }
}

TEST(BusFile, SaysWhetherItsCopiesAgreeAndWhatIsWrongWithOne) {
    const auto whole = bus_file(5, 5);
    EXPECT_TRUE(decode_bus(whole).both);
    EXPECT_FALSE(decode_bus(whole).other);
    EXPECT_FALSE(decode_bus(bus_file(4, 5)).both);
    EXPECT_FALSE(decode_bus(bus_file(4, 5)).other);
    EXPECT_EQ(decode_bus(bus_file(4, 5)).slot, 1U);
    for (std::size_t bit = 0; bit < whole.size() * 8; bit += 5) {
        auto file = whole;
        flip(file, bit);
        const auto decoded = decode_bus(file);
        ASSERT_TRUE(decoded.value && decoded.other && !decoded.both) << bit;
        const auto slot = bit / 8 / bus_header_size;
        ASSERT_EQ(decoded.slot, 1 - slot);
        ASSERT_EQ(decoded.other->offset / bus_header_size, slot);
    }
    auto one = whole;
    std::fill_n(one.begin(), bus_header_size, std::byte{0});
    EXPECT_FALSE(decode_bus(one).both);
    EXPECT_FALSE(decode_bus(one).other);  // never written
}

TEST(BusFile, ThatANewerProgramHasWrittenIsRefusedThoughAnOldSlotIsGood) {
    for (const bool second : {false, true}) {
        auto file = bus_file(4, 5);
        auto slot = std::span(file).subspan(second ? bus_header_size : 0, bus_header_size);
        slot[8] = std::byte{2};
        const auto sum = base::crc32c(base::crc32c(~0U, slot.first(12)), slot.subspan(16));
        std::memcpy(slot.data() + 12, &sum, sizeof sum);
        const auto decoded = decode_bus(file);
        ASSERT_FALSE(decoded.value);
        EXPECT_EQ(decoded.refusal.kind, Kind::newer);
        EXPECT_EQ(decoded.refusal.found, "format 2.0");
        EXPECT_EQ(decoded.refusal.offset, second ? bus_header_size + 8 : 8);
    }
}

TEST(BusFile, WithoutAGoodSlotSaysWhatTellsMost) {
    const Buffer zeros(2 * bus_header_size);
    EXPECT_EQ(decode_bus(zeros).refusal.kind, Kind::foreign);
    EXPECT_EQ(decode_bus({}).refusal.kind, Kind::damaged);
    auto file = zeros;
    const auto slot = encode_bus(some_bus(1));
    std::ranges::copy(slot, file.begin() + bus_header_size);
    file[bus_header_size + 40] ^= std::byte{1};
    EXPECT_EQ(decode_bus(file).refusal.kind, Kind::damaged);
    EXPECT_EQ(decode_bus(file).refusal.offset, bus_header_size + 12);
}

TEST(FileNames, ComeBackAndNothingElseIsTakenForOne) {
    for (const std::uint64_t id : {1ULL, 0xabcdefULL, ~0ULL}) {
        EXPECT_EQ(segment_id(segment_name(id)), id);
        EXPECT_EQ(blob_id(blob_name(id)), id);
        EXPECT_FALSE(segment_id(blob_name(id)));
        EXPECT_FALSE(blob_id(segment_name(id)));
    }
    EXPECT_EQ(segment_name(0x1f), "000000000000001f.seg");
    EXPECT_EQ(blob_name(0x1f), "000000000000001f.blob");
    for (const char* name : {"", ".seg", "1f.seg", "000000000000001F.seg", "0000000000000000.seg",
                             "000000000000001f.seg~", "x000000000000001f.seg",
                             "00000000000000 1.seg", "-00000000000001f.seg"}) {
        EXPECT_FALSE(segment_id(name)) << name;
    }
}

}  // namespace
}  // namespace mmsb::log
