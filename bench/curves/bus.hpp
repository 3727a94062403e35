/// bench/curves/bus: a bus in a folder, with a model of its pages; gone afterwards.
#pragma once

#include "curves/curve.hpp"

#include <mmsb/mmsb.hpp>

#include <fmt/format.h>
#include <algorithm>
#include <filesystem>
#include <optional>
#include <stdexcept>

namespace bench {

class CurveBus {
public:
    CurveBus(const CurveOptions& options, std::size_t pages, std::size_t size,
             mmsb::Durability durability = mmsb::Durability::process)
        : contents(pages, size),
          config_{.path = options.folder + "/bus",
                  .durability = durability,
                  .checkpoint_interval = std::chrono::seconds(0)} {
        std::filesystem::create_directories(options.folder);
        bus_ = mmsb::start(config_);
        constexpr std::size_t a_commit = 10'000;
        for (std::size_t n = 0; n < pages;) {
            auto tx = bus_->transaction();
            for (std::size_t i = 0; i < a_commit && n < pages; ++i, ++n)
                static_cast<void>(tx.create_page(size, {.contents = contents.page(n)}));
            tx.commit();
        }
        // Not the transaction's handles: those were made before the pages had a place, and look it
        // up each time.
        handles = bus_->pages();
        bus_->wait_durable(mmsb::Sequence::newest);
    }
    ~CurveBus() {
        bus_.reset();
        mmsb::remove_bus(config_.path);
    }
    CurveBus(const CurveBus&) = delete;
    CurveBus& operator=(const CurveBus&) = delete;

    [[nodiscard]] const mmsb::State& operator*() const noexcept { return *bus_; }
    [[nodiscard]] const mmsb::State* operator->() const noexcept { return &*bus_; }
    [[nodiscard]] const mmsb::Config& config() const noexcept { return config_; }
    void close() { bus_.reset(); }
    void open() { bus_ = mmsb::start(config_); }
    /// Each page, through whichever handle on the bus, against the model.
    void check(const mmsb::State& bus) {
        std::vector<std::byte> bytes;
        for (std::size_t n = 0; n < contents.pages(); ++n) {
            const auto expected = contents.page(n);
            bytes.resize(expected.size());
            bus.page(handles[n].id()).read_into(bytes);
            if (!std::ranges::equal(bytes, expected))
                throw std::runtime_error(fmt::format("page {} is wrong at the end", n));
        }
    }

    Contents contents;
    std::vector<mmsb::Page> handles{};

private:
    mmsb::Config config_;
    std::optional<mmsb::State> bus_{};
};

}  // namespace bench
