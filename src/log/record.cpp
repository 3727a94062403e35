#include "log/record.hpp"

#include "base/assert.hpp"
#include "base/bytes.hpp"
#include "base/checksum.hpp"
#include "log/head.hpp"

#include <algorithm>
#include <array>
#include <limits>

namespace mmsb::log {
namespace {

constexpr std::size_t incarnation_size = 16;
constexpr Lsn durable_reach = Lsn{1} << 24U;  // Farther back is not said.

// In all of the first 8 bytes, or of fewer that there are.
bool begins_with_zeros(std::span<const std::byte> bytes) noexcept {
    std::uint64_t word = 0;
    if (bytes.size() < sizeof word) return base::all_zero(bytes);
    std::memcpy(&word, bytes.data(), sizeof word);
    return word == 0;
}

// The last n. REQUIRES n < 8, and at least 8 bytes.
bool ends_with_zeros(std::span<const std::byte> bytes, std::size_t n) noexcept {
    std::uint64_t last = 0;
    std::memcpy(&last, bytes.last(sizeof last).data(), sizeof last);
    return n == 0 || last >> (64 - 8 * n) == 0;
}

bool says_durable(const RecordFields& fields, Lsn start) noexcept {
    return fields.kind != RecordKind::close && fields.durable && *fields.durable % 8 == 0 &&
           *fields.durable <= start && start - *fields.durable < durable_reach;
}

std::uint8_t flags_of(const RecordFields& fields, Lsn start) noexcept {
    unsigned flags = 0;
    if (fields.structural) flags |= flag::structural;
    if (fields.tag != 0) flags |= flag::tag;
    if (!fields.label.empty()) flags |= flag::label;
    if (says_durable(fields, start)) flags |= flag::durable;
    if (fields.blob) flags |= flag::blob;
    return static_cast<std::uint8_t>(flags);
}

/// Puts in front of a body what stands there: the fields that `flags` are of, and room for the
/// head. Returns where that begins.
std::byte* write_front(const RecordFields& fields, std::uint8_t flags, Lsn start,
                       const Context& context, std::byte* body) noexcept {
    MMSB_ASSERT(start % 8 == 0 && fields.kind != RecordKind::filler);
    MMSB_ASSERT(fields.label.size() <= limits::label_size);
    MMSB_ASSERT(!fields.structural || fields.previous_structure == no_lsn ||
                (fields.previous_structure % 8 == 0 && fields.previous_structure < start));
    base::FrontWriter front(body);
    if (fields.blob) {
        front.fixed(fields.blob->checksum);
        front.varint(fields.blob->size);
        front.varint(fields.blob->id);
    }
    if (!fields.label.empty()) front.text(fields.label);
    if (fields.tag != 0) front.varint(fields.tag);
    if (fields.structural) {
        const bool first = fields.previous_structure == no_lsn;
        front.varint(first ? 0 : (start - fields.previous_structure) / 8);
    }
    if ((flags & flag::durable) != 0) front.varint((start - *fields.durable) / 8);
    front.varint(static_cast<std::uint32_t>(fields.process));
    front.varint(fields.source);
    // Modulo 2^64, so that even a time before the base comes back as it was.
    front.varint(static_cast<std::uint64_t>(fields.time_ns) -
                 static_cast<std::uint64_t>(context.base_time_ns));
    front.varint(number(fields.sequence));
    return front.begin() - head_size;
}

/// Fills in the head of a record whose padding is there, once everything behind it is. `size`: of
/// all but the padding.
void seal(std::span<std::byte> record, std::size_t size, RecordKind kind, std::uint8_t flags,
          Lsn start, const Context& context) noexcept {
    MMSB_ASSERT(size < std::numeric_limits<std::uint32_t>::max() / 2);
    const auto seed = record_seed(context.salt, start);
    Head head{.checksum = 0,
              .check = 0,
              .kind = static_cast<std::uint8_t>(kind),
              .flags = flags,
              .size = static_cast<std::uint32_t>(size)};
    head.check = head_check(seed, head);
    std::memcpy(record.data(), &head, sizeof head);
    head.checksum = base::crc32c(seed, record.subspan(sizeof head.checksum));
    std::memcpy(record.data(), &head, sizeof head.checksum);
}

/// Padding and head of the record that begins at `at` and ends where `out` does. Returns its padded
/// size.
std::size_t finish(RecordKind kind, std::uint8_t flags, std::size_t at, Lsn start,
                   const Context& context, std::vector<std::byte>& out) {
    const auto size = out.size() - at;
    const auto padded = static_cast<std::size_t>(base::round_up(size, 8));
    out.resize(at + padded);
    seal(std::span(out).subspan(at), size, kind, flags, start, context);
    return padded;
}

template <class T>
T narrow(base::ByteReader& in) noexcept {
    const auto v = in.varint();
    if (v > std::numeric_limits<T>::max()) in.fail();
    return static_cast<T>(v);
}

/// Everything between head and body. The reader has failed where something is out of range.
void read_fields(base::ByteReader& in, std::uint8_t flags, const Context& context,
                 Record& record) noexcept {
    record.sequence = Sequence{in.varint()};
    record.time_ns =
        static_cast<std::int64_t>(static_cast<std::uint64_t>(context.base_time_ns) + in.varint());
    record.source = narrow<std::uint32_t>(in);
    record.process = static_cast<std::int32_t>(narrow<std::uint32_t>(in));
    if ((flags & flag::durable) != 0) {
        const auto back = in.varint();
        if (back >= durable_reach / 8 || back > record.start / 8) in.fail();
        record.durable = record.start - back * 8;
    } else if (record.kind == RecordKind::close) {
        record.durable = record.end;
    }
    if ((flags & flag::structural) != 0) {
        const auto back = in.varint();
        if (back > record.start / 8) in.fail();
        record.structural = true;
        record.previous_structure = back == 0 ? no_lsn : record.start - back * 8;
    }
    if ((flags & flag::tag) != 0) {
        record.tag = in.varint();
        if (record.tag == 0) in.fail();
    }
    if ((flags & flag::label) != 0) {
        record.label = in.text(limits::label_size);
        if (record.label.empty()) in.fail();
    }
    if ((flags & flag::blob) != 0) {
        BlobReference blob{};
        blob.id = in.varint();
        blob.size = in.varint();
        blob.checksum = in.fixed<std::uint32_t>();
        if (blob.id == 0 || blob.size == 0 || !in.at_end()) in.fail();
        record.blob = blob;
    }
}

/// What is wrong with the body of one that is no commit; nullptr: nothing.
const char* body_error(const Record& record) noexcept {
    switch (record.kind) {
        case RecordKind::source:
            return read_source(record.body) ? nullptr : "a source's number and name";
        case RecordKind::incarnation:
            return record.body.size() == incarnation_size ? nullptr : "an incarnation's 16 bytes";
        case RecordKind::close:
            return record.body.empty() ? nullptr : "a close record without a body";
        case RecordKind::retention:
            return read_kept_past(record.body) ? nullptr : "a retention's three limits";
        case RecordKind::clock:
            return read_clock_jump(record.body) ? nullptr : "a jump of the clock";
        case RecordKind::commit:
        case RecordKind::filler:
            break;
    }
    return "a kind of record that has fields";
}

Checked refused(const char* expected, std::size_t size = 0) noexcept {
    return {ParseStatus::bad, size, expected};
}

}  // namespace

std::size_t write_record(const RecordFields& fields, std::span<const std::byte> body, Lsn start,
                         const Context& context, std::vector<std::byte>& out) {
    MMSB_ASSERT(!fields.blob || (fields.kind == RecordKind::commit && body.empty() &&
                                 fields.blob->id != 0 && fields.blob->size != 0));
    MMSB_ASSERT(fields.kind != RecordKind::incarnation || body.size() == incarnation_size);
    MMSB_ASSERT(fields.kind != RecordKind::close || body.empty());
    const auto at = out.size();
    const auto flags = flags_of(fields, start);
    std::array<std::byte, record_overhead(limits::label_size)> room;
    auto* const end = room.data() + room.size();
    const auto* const begin = write_front(fields, flags, start, context, end);
    base::ByteWriter(out).bytes({begin, end});
    base::ByteWriter(out).bytes(body);
    return finish(fields.kind, flags, at, start, context, out);
}

std::size_t wrap_record(const RecordFields& fields, std::size_t body_at, Lsn start,
                        const Context& context, std::vector<std::byte>& bytes) {
    MMSB_ASSERT(fields.kind == RecordKind::commit && !fields.blob);
    MMSB_ASSERT(record_overhead(fields.label.size()) <= body_at + most_padding);
    const auto flags = flags_of(fields, start);
    const auto at = static_cast<std::size_t>(
        write_front(fields, flags, start, context, bytes.data() + body_at) - bytes.data());
    finish(fields.kind, flags, at, start, context, bytes);
    return at;
}

std::span<const std::byte> wrap_delta(const RecordFields& fields, const DeltaEntry& entry,
                                      std::span<std::byte> delta, Lsn start,
                                      const Context& context) noexcept {
    MMSB_ASSERT(fields.kind == RecordKind::commit && !fields.blob && !fields.structural);
    const auto flags = flags_of(fields, start);
    auto* const end = delta.data() + delta.size();
    auto* const body = delta.empty() ? end : write_entry_front(entry, delta);
    auto* const begin = write_front(fields, flags, start, context, body);
    const auto size = static_cast<std::size_t>(end - begin);
    const std::span record(begin, static_cast<std::size_t>(base::round_up(size, 8)));
    std::memset(end, 0, record.size() - size);
    seal(record, size, fields.kind, flags, start, context);
    return record;
}

void write_filler(std::size_t size, Lsn start, const Context& context,
                  std::vector<std::byte>& out) {
    MMSB_ASSERT(start % 8 == 0 && size % 8 == 0 && size >= 16);
    MMSB_ASSERT(size <= std::numeric_limits<std::uint32_t>::max());
    const auto at = out.size();
    out.resize(at + size);
    seal(std::span(out).subspan(at), size, RecordKind::filler, 0, start, context);
}

Checked check_record(std::span<const std::byte> bytes, Lsn start, const Context& context) noexcept {
    if (begins_with_zeros(bytes)) return {ParseStatus::empty, 0, "a record"};
    if (bytes.size() < head_size) return refused("a record's head of 12 bytes");
    const auto head = load_head(bytes);
    const auto seed = record_seed(context.salt, start);
    if (!plausible(head)) return refused("a record's kind, flags and size");
    if (head.check != head_check(seed, head)) return refused("a record's head with its check");
    const auto padded = base::round_up(head.size, 8);
    if (padded > bytes.size())
        return {ParseStatus::partial, static_cast<std::size_t>(padded),
                "a whole record: it is cut off"};
    const auto whole = bytes.first(static_cast<std::size_t>(padded));
    if (base::crc32c(seed, whole.subspan(sizeof head.checksum)) != head.checksum) {
        return refused("a record with its checksum", whole.size());
    }
    if (!ends_with_zeros(whole, whole.size() - head.size))
        return refused("zeros as padding", whole.size());
    return {ParseStatus::good, whole.size(), ""};
}

namespace {

bool are_entries(std::span<const std::byte> body) noexcept {
    EntryReader entries(body);
    for (Entry entry; entries.next(entry);) {
    }
    return !entries.failed();
}

// `read_entries(body, only_bytes)`: are they entries?
Checked parse(std::span<const std::byte> bytes, Lsn start, const Context& context, Record& record,
              FunctionRef<bool(std::span<const std::byte>, bool&)> read_entries) {
    record = {};
    const auto checked = check_record(bytes, start, context);
    if (checked.status != ParseStatus::good) return checked;
    const auto whole = bytes.first(checked.size);
    const auto head = load_head(whole);
    record.kind = static_cast<RecordKind>(head.kind);
    record.start = start;
    record.end = start + whole.size();
    if (record.kind == RecordKind::filler) {
        if (base::all_zero(whole.subspan(head_size))) return checked;
        return refused("a filler of zeros", whole.size());
    }
    base::ByteReader in(whole.first(head.size).subspan(head_size));
    read_fields(in, head.flags, context, record);
    record.body = in.rest();
    if (in.failed()) return refused("a record's fields", whole.size());
    if (record.kind != RecordKind::commit) {
        const char* expected = body_error(record);
        return expected == nullptr ? checked : refused(expected, whole.size());
    }
    bool only_bytes = false;
    if (!read_entries(record.body, only_bytes)) return refused("a commit's entries", whole.size());
    record.only_bytes = only_bytes && !record.structural && !record.blob;
    return checked;
}

}  // namespace

Checked parse_record(std::span<const std::byte> bytes, Lsn start, const Context& context,
                     Record& record, std::vector<PageEntry>* pages) {
    return parse(
        bytes, start, context, record, [&](std::span<const std::byte> body, bool& only_bytes) {
            return pages == nullptr ? are_entries(body) : read_pages(body, *pages, only_bytes);
        });
}

Checked parse_record(std::span<const std::byte> bytes, Lsn start, const Context& context,
                     Record& record, std::vector<PageDelta>& pages) {
    return parse(bytes, start, context, record,
                 [&](std::span<const std::byte> body, bool& only_bytes) {
                     return read_pages(body, pages, only_bytes);
                 });
}

Parsed parse_record(std::span<const std::byte> bytes, Lsn start, const Context& context) noexcept {
    Parsed parsed;
    static_cast<Checked&>(parsed) = parse_record(bytes, start, context, parsed.record, nullptr);
    return parsed;
}

}  // namespace mmsb::log
