/// The log that tests/golden/segment.seg holds, made by the library with fixed salt, times and ids:
/// each kind of record, each kind of entry, each encoding of a delta.
#pragma once

#include "log/support.hpp"

namespace mmsb::log::testing {

inline Buffer filled(std::size_t size, unsigned first) {
    Buffer out(size);
    for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::byte>(first + i);
    return out;
}

class GoldenSegment {
public:
    GoldenSegment() {
        for (std::size_t i = 0; i < 16; ++i) log_.header.bus[i] = static_cast<std::byte>(0xb0 + i);
        log_.header.id = 1;
        log_.header.base_time_ns = base_time;
        incarnation_and_source();
        encodings();
        structure();
        log_.filler();
        const auto header = encode_segment(log_.header);
        file_.assign(header.begin(), header.end());
        file_.insert(file_.end(), log_.bytes.begin(), log_.bytes.end());
    }
    [[nodiscard]] const Buffer& file() const { return file_; }

private:
    static constexpr std::int64_t base_time = 1'700'000'000'000'000'000;

    RecordFields fields(std::uint64_t sequence) {
        return {.sequence = Sequence{sequence},
                .time_ns = base_time + static_cast<std::int64_t>(100 * log_.starts.size()),
                .source = 1,
                .process = 77};
    }
    void add(RecordFields fields, std::span<const std::byte> body) {
        if (fields.structural) {
            fields.previous_structure = previous_structure_;
            previous_structure_ = log_.end();
        }
        log_.add(fields, body);
    }
    RecordFields structural(RecordFields fields) {
        fields.structural = true;
        return fields;
    }

    void incarnation_and_source() {
        auto f = fields(0);
        f.source = 0;
        f.kind = RecordKind::incarnation;
        add(f, filled(16, 0xe0));
        f = structural(fields(0));
        f.source = 0;
        f.kind = RecordKind::source;
        Buffer body;
        write_source({.number = 1, .name = "golden"}, body);
        add(f, body);
    }

    void encodings() {
        Buffer metadata;
        write_metadata("unit", "K", metadata);
        const auto buckets = delta_of(64, 7, filled(3, 0x31));
        const auto offsets = delta_of(1024, 500, filled(1, 0x41));
        Buffer body;
        write_entry(PageEntry{.page = PageId{1},
                              .size = 64,
                              .created = true,
                              .renamed = true,
                              .line = 0,
                              .name = "a",
                              .metadata = metadata,
                              .delta = buckets},
                    body);
        write_entry(PageEntry{.page = PageId{2},
                              .size = 1024,
                              .created = true,
                              .line = 1,
                              .location = Location::gpu,
                              .delta = offsets},
                    body);
        auto f = structural(fields(1));
        f.tag = 300;
        f.label = "first";
        add(f, body);

        body.clear();
        Buffer scattered(24);
        for (std::size_t i = 0; i < 24; i += 2) scattered[i] = static_cast<std::byte>(0x61 + i);
        const auto masks = delta_of(64, 10, scattered);
        const auto runs = delta_of(1024, 256, filled(20, 0x01));
        write_entry(PageEntry{.page = PageId{1}, .epoch = Epoch{1}, .size = 64, .delta = masks},
                    body);
        write_entry(PageEntry{.page = PageId{2}, .epoch = Epoch{1}, .size = 1024, .delta = runs},
                    body);
        f = fields(2);
        f.durable = log_.starts[2];
        add(f, body);

        body.clear();
        const auto whole = delta_of(12, 0, filled(12, 0x51));
        const auto wide = delta_of(1U << 20U, 70'000, filled(1, 0x42));
        write_entry(
            PageEntry{.page = PageId{3}, .size = 12, .created = true, .line = 2, .delta = whole},
            body);
        write_entry(PageEntry{.page = PageId{4},
                              .size = 1U << 20U,
                              .created = true,
                              .line = 3,
                              .location = Location::unified,
                              .delta = wide},
                    body);
        add(structural(fields(3)), body);
    }

    void structure() {
        Buffer metadata;
        write_metadata("unit", "", metadata);
        Buffer body;
        const auto grown = delta_of(2048, 2000, filled(1, 0x43));
        write_entry(PageEntry{.page = PageId{2},
                              .epoch = Epoch{2},
                              .size = 2048,
                              .resized = true,
                              .delta = grown},
                    body);
        write_entry(PageEntry{.page = PageId{1},
                              .epoch = Epoch{1},
                              .size = 64,
                              .renamed = true,
                              .name = "b",
                              .metadata = metadata},
                    body);
        write_entry(PageEntry{.page = PageId{3}, .epoch = Epoch{0}, .deleted = true}, body);
        add(structural(fields(4)), body);

        body.clear();
        write_entry(PageEntry{.page = PageId{1}, .epoch = Epoch{1}, .size = 64, .stale = true},
                    body);
        const Buffer parents{std::byte{1}, std::byte{2}};
        const auto arguments = filled(3, 0x0a);
        write_entry(EdgeEntry{.parent = PageId{1}, .child = PageId{2}}, body);
        write_entry(
            EdgeEntry{
                .parent = PageId{1}, .child = PageId{4}, .type = EdgeType::control, .added = false},
            body);
        write_entry(FormulaEntry{.child = PageId{4},
                                 .function = "sum/1",
                                 .arguments = arguments,
                                 .parents = parents},
                    body);
        write_entry(FormulaEntry{.child = PageId{2}, .added = false}, body);
        add(structural(fields(5)), body);

        auto f = fields(6);
        f.blob = BlobReference{.id = 1, .size = 9'000'000, .checksum = 0x01020304};
        add(f, {});
        f = fields(6);
        f.kind = RecordKind::retention;
        body.clear();
        write_kept_past({.bytes = 1 << 20U, .records = 1000, .seconds = 604'800}, body);
        add(f, body);
        f.kind = RecordKind::clock;
        body.clear();
        write_clock_jump(-7'200'000'000'000, body);
        add(f, body);
        f = fields(6);
        f.kind = RecordKind::close;
        add(f, {});
    }

    SmallLog log_{1024, 0x10000, 0x0123456789abcdef};
    Lsn previous_structure_ = no_lsn;
    Buffer file_{};
};

}  // namespace mmsb::log::testing
