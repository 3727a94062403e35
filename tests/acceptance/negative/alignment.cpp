#include <mmsb/mmsb.hpp>
struct alignas(32) V {
    double lanes[4];
};
int main() { static_cast<void>(mmsb::start().create<V>()); }
