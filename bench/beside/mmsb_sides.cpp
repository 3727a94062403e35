// MMSB through its public face.
#include "beside/sides.hpp"

#include <mmsb/mmsb.hpp>

#include <optional>
#include <stdexcept>
#include <vector>

namespace bench {

namespace {

class PageReader final : public Reader {
public:
    explicit PageReader(const std::string& folder)
        : bus_(mmsb::start({.path = folder, .open = mmsb::Open::read_only})),
          pages_(bus_.pages()) {}
    Moment read(std::uint64_t page, std::span<std::byte> out) override {
        return number(pages_[page].read_into(out).sequence);
    }
    Moment read_many(std::span<const std::uint64_t> pages) override {
        wanted_.clear();
        for (const auto page : pages) wanted_.push_back(pages_[page]);
        view_ = bus_.snapshot(wanted_);
        return number(view_->sequence());
    }
    std::span<const std::byte> held(std::size_t n) const override {
        return view_->bytes(wanted_[n]);
    }
    [[nodiscard]] bool stands_still(std::uint64_t page) const {
        return pages_[page].peek([](std::span<const std::byte>) { return true; }).has_value();
    }

private:
    mmsb::State bus_;
    std::vector<mmsb::Page> pages_, wanted_{};
    std::optional<mmsb::View> view_{};
};

class PartWriter final : public Writer {
public:
    PartWriter(const std::string& folder, std::span<const std::byte> bytes)
        : bus_(mmsb::start({.path = folder})),
          page_(bus_.create_page(bytes.size(), {.contents = bytes})) {}
    void commit(std::uint64_t page, std::span<const std::byte> bytes) override {
        page_.write(page * page_size, bytes);
    }

private:
    mmsb::State bus_;
    mmsb::Page page_;
};

std::unique_ptr<Reader> page_reader(const std::string& folder) {
    return std::make_unique<PageReader>(folder);
}

}  // namespace

Sides mmsb_sides() {
    return {"MMSB",
            [](const std::string& folder, std::span<const std::byte> bytes) {
                return loaded_writer(mmsb_store(Survives::kill), folder, bytes);
            },
            page_reader};
}
Sides mmsb_large_sides() {
    return {"MMSB",
            [](const std::string& folder, std::span<const std::byte> bytes) {
                return std::make_unique<PartWriter>(folder, bytes);
            },
            page_reader};
}

bool stands_still(Reader& mmsb_reader, std::uint64_t page) {
    return dynamic_cast<PageReader&>(mmsb_reader).stands_still(page);
}

}  // namespace bench
