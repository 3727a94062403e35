// The indexes of segments: files that are made when they are wanted, and not missed.
#include "log/segments.hpp"
#include "log/segments_new_file.hpp"

#include <mmsb/error.hpp>

#include <algorithm>
#include <array>
#include <utility>

namespace mmsb::log {

/// The index of one segment, if it is there and of just that.
class Segments::Index {
public:
    Index(os::Folder& folder, const Place& place) {
        const auto& header = place.segment->header;
        file_ = folder.open(index_name(header.id), os::Create::never, false);
        if (!file_) return;
        std::array<std::byte, index_header_size> bytes{};
        const auto size = file_->read(0, bytes);
        const auto decoded = decode_index_header(std::span(bytes).first(size));
        auto expected = header_of(place);
        if (decoded.value) expected.pages = decoded.value->pages;
        if (decoded.value == expected)
            header_ = expected;
        else
            file_.reset();
    }
    [[nodiscard]] static IndexHeader header_of(const Place& place) {
        const auto& header = place.segment->header;
        return {.bus = header.bus,
                .segment = header.id,
                .salt = header.salt,
                .start = header.start,
                .end = place.end};
    }
    [[nodiscard]] bool is_good() const noexcept { return file_.has_value(); }
    [[nodiscard]] const os::File& file() const noexcept { return *file_; }
    [[nodiscard]] std::optional<std::vector<Lsn>> find(PageId page) const {
        return log::find_in_index(header_, file_->size(), page,
                                  [this](std::uint64_t offset, std::span<std::byte> out) {
                                      return file_->read(offset, out);
                                  });
    }

private:
    std::optional<os::File> file_{};
    IndexHeader header_{};
};

namespace {

// What cannot be read is not there: the segment says the same.
template <class Read>
auto read_or_none(const Read& read) -> decltype(read()) {
    try {
        return read();
    } catch (const Io&) {
    } catch (const OutOfSpace&) {
    }
    return {};
}

}  // namespace

std::optional<std::vector<Lsn>> Segments::find_in_index(Lsn start, PageId page) {
    const auto place = locate(start);
    if (!place.segment) return std::nullopt;
    return read_or_none([&]() -> std::optional<std::vector<Lsn>> {
        const Index index(folder_, place);
        if (!index.is_good()) return std::nullopt;
        return index.find(page);
    });
}

bool Segments::has_index(Lsn start) {
    const auto place = locate(start);
    return place.segment && read_or_none([&] { return Index(folder_, place).is_good(); });
}

void Segments::check_index(Lsn start, std::vector<Mention> mentions) {
    const auto place = locate(start);
    if (!place.segment) return;
    const auto expected = encode_index(Index::header_of(place), std::move(mentions));
    const auto differs_at = read_or_none([&]() -> std::optional<std::uint64_t> {
        const Index index(folder_, place);
        if (!index.is_good()) return std::nullopt;  // removed meanwhile
        std::vector<std::byte> found(expected.size());
        found.resize(index.file().read(0, found));
        const auto there = std::ranges::mismatch(expected, found).in2 - found.begin();
        if (found.size() == expected.size() && index.file().size() == found.size() &&
            there == std::ssize(found))
            return std::nullopt;
        return static_cast<std::uint64_t>(there);
    });
    if (differs_at)
        refuse(folder_.path() + '/' + index_name(place.segment->header.id),
               {Refusal::Kind::damaged, *differs_at, "the index of what its segment holds",
                "another"});
}

void Segments::write_index(Lsn start, std::vector<Mention> mentions) noexcept {
    try {
        const auto place = locate(start);
        if (!writable_ || !place.segment) return;
        NewFile made(folder_);
        made.file().write(0, encode_index(Index::header_of(place), std::move(mentions)));
        const auto name = index_name(place.segment->header.id);
        // It was not used: it is not good, or another process was quicker, with the same one.
        folder_.remove(name);
        static_cast<void>(made.publish(name));
    } catch (const std::exception&) {
        // It is made when it is wanted again.
    }
}

}  // namespace mmsb::log
