// The blob files: the entries of records that are too large for the ring.
#include "base/checksum.hpp"
#include "base/steps.hpp"
#include "log/segments.hpp"
#include "log/segments_new_file.hpp"

#include <mmsb/error.hpp>

#include <algorithm>
#include <array>
#include <ranges>

#include <fmt/format.h>

namespace mmsb::log {
namespace {

std::uint32_t checksum_of(std::span<const std::byte> bytes) {
    return base::crc32c(~std::uint32_t{0}, bytes);
}

[[noreturn]] void damaged(const std::string& path, std::uint64_t offset, std::string expected,
                          std::string found) {
    refuse(path, {Refusal::Kind::damaged, offset, std::move(expected), std::move(found)});
}

std::string described(std::uint64_t id, std::uint64_t size, std::uint32_t checksum) {
    return fmt::format("blob {} of {} bytes with checksum {:08x}", id, size, checksum);
}

}  // namespace

// Above those that are there, and those that were: an id names one blob for ever. (The log's end is
// behind the record of each blob whose record was logged.)
std::uint64_t Segments::next_blob(Lsn log_end) {
    const auto ids = blobs();
    const std::unique_lock lock(mutex_);
    if (!ids.empty()) last_blob_ = std::max(last_blob_, ids.back());
    last_blob_ = std::max(last_blob_ + 1, log_end);
    return last_blob_;
}

BlobReference Segments::write_blob(std::span<const std::byte> bytes, Lsn log_end, bool durable) {
    const BlobReference blob{0, bytes.size(), checksum_of(bytes)};
    NewFile made(folder_);
    made.file().allocate(0, blob_header_size + bytes.size());
    made.file().write(blob_header_size, bytes);
    BlobHeader header{
        .bus = bus_, .size = blob.size, .checksum = blob.checksum, .log_end = log_end};
    do {  // Another process may take an id first.
        header.id = next_blob(log_end);
        made.file().write(0, encode_blob(header));
        MMSB_STEP("blob.written");
        if (durable) made.file().sync_data();
        MMSB_STEP("blob.synced");
    } while (!made.publish(blob_name(header.id)));
    MMSB_STEP("blob.named");
    if (durable) {
        try {
            folder_.sync();
            MMSB_STEP("blob.name_synced");
        } catch (...) {
            remove_blob(header.id);
            throw;
        }
    }
    return {header.id, blob.size, blob.checksum};
}

BlobHeader Segments::blob_header(const os::File& file) const {
    std::array<std::byte, blob_header_size> bytes{};
    const auto size = file.read(0, bytes);
    const auto decoded = decode_blob(std::span(bytes).first(size));
    if (!decoded.value) refuse(file.path(), decoded.refusal);
    if (decoded.value->bus != bus_)
        refuse(file.path(), {Refusal::Kind::foreign, 16, "a blob of this bus", "one of another"});
    return *decoded.value;
}

std::vector<std::byte> Segments::read_blob(const BlobReference& blob) {
    const auto file = folder_.open(blob_name(blob.id), os::Create::never, false);
    const auto expected = described(blob.id, blob.size, blob.checksum);
    if (!file) damaged(folder_.path() + '/' + blob_name(blob.id), 0, expected, "no file");
    const auto header = blob_header(*file);
    if (header.id != blob.id || header.size != blob.size || header.checksum != blob.checksum) {
        damaged(file->path(), 0, expected, described(header.id, header.size, header.checksum));
    }
    const auto there = file->size() - std::min<std::uint64_t>(file->size(), blob_header_size);
    if (there != blob.size) {
        damaged(file->path(), blob_header_size + there, expected, fmt::format("{} bytes", there));
    }
    std::vector<std::byte> contents(static_cast<std::size_t>(blob.size));
    if (file->read(blob_header_size, contents) != contents.size()) {
        damaged(file->path(), blob_header_size, expected, "fewer bytes");
    }
    if (const auto found = checksum_of(contents); found != blob.checksum) {
        damaged(file->path(), blob_header_size,
                fmt::format("bytes with checksum {:08x}", blob.checksum),
                fmt::format("{:08x}", found));
    }
    return contents;
}

void Segments::sync_blob(const BlobReference& blob) {
    const auto file = folder_.open(blob_name(blob.id), os::Create::never, true);
    if (!file) {
        damaged(folder_.path() + '/' + blob_name(blob.id), 0,
                described(blob.id, blob.size, blob.checksum), "no file");
    }
    file->sync_data();
    folder_.sync();
}

void Segments::remove_blob(std::uint64_t id) noexcept {
    try {
        folder_.remove(blob_name(id));
    } catch (const std::exception&) {
        // It stays: nothing reads it.
    }
}

// One that cannot be read is left to whoever reads its record, if there is one.
std::optional<Lsn> Segments::log_end_of(std::uint64_t id) const {
    const auto file = folder_.open(blob_name(id), os::Create::never, false);
    std::array<std::byte, blob_header_size> bytes{};
    const auto size = file ? file->read(0, bytes) : 0;
    const auto header = decode_blob(std::span(bytes).first(size));
    if (!header.value || header.value->bus != bus_) return std::nullopt;
    return header.value->log_end;
}

// Whoever writes a blob has the lock until its record is logged. So one that was written when the
// log ended further on was written after the record of each before; and of all others the record is
// the next commit, or there is none.
void Segments::remove_blobs_before(Lsn lsn, std::optional<std::uint64_t> next) noexcept {
    try {
        std::vector<std::pair<Lsn, std::uint64_t>> old;
        for (const auto id : blobs()) {  // in order, and so are the ends
            const auto end = log_end_of(id);
            if (end && *end >= lsn) break;
            if (end) old.emplace_back(*end, id);
        }
        for (const auto& [end, id] : old) {
            const bool is_next = next ? id == *next : end == old.back().first;
            if (is_next) return;
            remove_blob(id);
            MMSB_STEP("compact.blob");
        }
    } catch (const std::exception&) {
        // They stay until more is dropped; nothing reads them.
    }
}

void Segments::remove_orphans(Lsn last_commit_end) noexcept {
    try {
        const auto ids = blobs();
        for (const auto id : std::views::reverse(ids)) {
            const auto end = log_end_of(id);
            if (!end) continue;
            if (*end < last_commit_end) return;
            remove_blob(id);
        }
    } catch (const std::exception&) {
        // They stay until somebody recovers again; nothing reads them.
    }
}

std::vector<std::uint64_t> Segments::blobs() {
    std::vector<std::uint64_t> ids;
    for (const auto& name : folder_.list()) {
        if (const auto id = blob_id(name)) ids.push_back(*id);
    }
    return ids;
}

std::uint64_t Segments::file_bytes() {
    std::uint64_t sum = 0;
    for (const auto& name : folder_.list()) {
        if (!segment_id(name) && !blob_id(name) && !index_id(name)) continue;
        if (const auto file = folder_.open(name, os::Create::never, false))
            sum += file->allocated();
    }
    return sum;
}

}  // namespace mmsb::log
