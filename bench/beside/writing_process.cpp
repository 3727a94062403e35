#include "beside/writing_process.hpp"

#include "cores.hpp"

#include <algorithm>
#include <stdexcept>
#include <thread>

namespace bench {

namespace {

constexpr std::chrono::microseconds a_moment{50};

class LoadedWriter final : public Writer {
public:
    LoadedWriter(const Way& way, const std::string& folder, std::span<const std::byte> bytes)
        : store_(way.open(folder)) {
        store_->load(bytes);
        writer_ = store_->writer();
    }
    void commit(std::uint64_t page, std::span<const std::byte> bytes) override {
        writer_->commit(page, bytes);
    }

private:
    std::unique_ptr<Store> store_;
    std::unique_ptr<Writer> writer_{};
};

}  // namespace

std::unique_ptr<Writer> loaded_writer(const Way& way, const std::string& folder,
                                      std::span<const std::byte> bytes) {
    return std::make_unique<LoadedWriter>(way, folder, bytes);
}

WritingProcess::WritingProcess(const Sides& sides, const std::string& folder, std::size_t pages,
                               int core)
    : child_([&]() -> int {
          stay_on(core);
          obey(sides, folder, pages);
      }) {
    pause();
}

void WritingProcess::obey(const Sides& sides, const std::string& folder, std::size_t pages) {
    Model model(pages);
    const auto writer = sides.writer(folder, model.bytes());
    constexpr int between_looks = 64;
    for (std::uint64_t commits = 0;;) {
        const auto told = shared_->told.load();
        shared_->done.store(told);
        if (told != writing) {
            std::this_thread::sleep_for(a_moment);
            continue;
        }
        for (int i = 0; i < between_looks; ++i) {
            const auto n = model.step(Pattern::sparse);
            writer->commit(n, model.page(n));
        }
        shared_->commits.store(commits += between_looks);
    }
}

void WritingProcess::tell(Order order) {
    shared_->told.store(order);
    while (shared_->done.load() != order) {
        if (child_.try_wait()) throw std::runtime_error("the writing process has ended");
        std::this_thread::sleep_for(a_moment);
    }
}

void Follower::follow(Moment moment) {
    for (; at_ < moment; ++at_) model_.step(Pattern::sparse);
}

bool Follower::agrees(Moment moment, std::size_t page, std::span<const std::byte> bytes) {
    follow(moment);
    return std::ranges::equal(model_.page(page), bytes);
}

bool Follower::agrees(Moment moment, std::span<const std::byte> bytes) {
    follow(moment);
    return std::ranges::equal(model_.bytes(), bytes);
}

}  // namespace bench
